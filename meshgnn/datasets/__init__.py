"""Published data sets as Samples, and their clean regeneration: `beno`, `loetzsch`."""
