#!/usr/bin/env bash
# Sets the environment up when it is missing, then runs the tests, a process a core; arguments go to
# pytest (-n 0: all in one process, for a debugger).
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up
cd "$ROOT"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$VENV/bin/python" -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"
