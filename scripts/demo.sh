#!/usr/bin/env bash
# Sets the environment up when it is missing, then runs the demo; arguments go to scripts/demo.py.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up
cd "$ROOT"
exec "$VENV/bin/python" scripts/demo.py "$@"
