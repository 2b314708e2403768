#!/usr/bin/env bash
# Sets the environment up when it is missing, then runs the tests; arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up
cd "$ROOT"
exec "$VENV/bin/python" -m pytest "$@"
