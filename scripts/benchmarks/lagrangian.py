"""Few points for many: decoders of bodies in large motion, on data of our own solvers.

    python scripts/benchmarks/lagrangian.py                 # everything
    python scripts/benchmarks/lagrangian.py reconstruction  # one of them

One file per run in `results/lagrangian_<name>.json`. `reconstruction` writes it after every row and
goes on where it was stopped; trainings go on from their checkpoints.
"""

import sys

from lagrangian_reconstruction import decode_times, reconstruction
from lagrangian_rollouts import SCENES, rollout_run
from lagrangian_speed import speed

RUNS = {"reconstruction": reconstruction, "decode": decode_times}
RUNS |= {f"rollout_{name}": rollout_run(name) for name in SCENES}
RUNS |= {"speed": speed}


def main() -> None:
    for name in sys.argv[1:] or RUNS:
        RUNS[name]()


if __name__ == "__main__":
    main()
