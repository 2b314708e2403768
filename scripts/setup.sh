# Makes .venv with the project in it, and what it needs of the system. Sourced by demo.sh, test.sh
# and .ci/run. A second run takes about a second: a hash of everything that decides the content of
# .venv is kept inside it.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
CONSTRAINTS="$ROOT/scripts/constraints.txt"
TORCH_VERSION="$(sed -n 's/^torch==//p' "$CONSTRAINTS")"
# Threads that wait sleep: spinning ones take the processor from other programs, and from each other.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 DEBIAN_FRONTEND=noninteractive

say() { printf '\033[1m[set-up]\033[0m %s\n' "$*" >&2; }
die() { printf '\033[1;31m[set-up]\033[0m %s\n' "$*" >&2; exit 1; }

# Run a command into a log and show its end only when the command fails.
quietly() {
    local log="$1"; shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        die "failed: $* (whole log: $log)"
    fi
}

find_python() {
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13 python3.14 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11 or later is needed and none was found on PATH; on Debian: apt-get install python3"
}

# apt-get as root, or through sudo where it asks for no password.
may_apt() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }
apt_install() {
    local log sudo=()
    log="$(mktemp)"
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    say "installing system packages: $*"
    quietly "$log" "${sudo[@]}" apt-get update
    quietly "$log" "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"
    rm -f "$log"
}

# Debian packages of the shared libraries that gmsh links to and that off-screen rendering loads.
missing_libraries() {
    [ "$(uname -s)" = Linux ] || return 0
    "$1" - <<'PY'
import ctypes

PACKAGES = {
    "libGLU.so.1": "libglu1-mesa",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libXrender.so.1": "libxrender1",
    "libXcursor.so.1": "libxcursor1",
    "libXft.so.2": "libxft2",
    "libXinerama.so.1": "libxinerama1",
    "libgomp.so.1": "libgomp1",
}
for library, package in PACKAGES.items():
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
PY
}

install_libraries() {
    local missing
    missing="$(missing_libraries "$1" | tr '\n' ' ')"
    [ -n "${missing// /}" ] || return 0
    may_apt || die "gmsh and off-screen rendering need system libraries that are missing. As an" \
        "administrator: apt-get install --no-install-recommends $missing"
    # shellcheck disable=SC2086
    apt_install $missing
}

# Tests of interactive pages open them in a browser where there is one, and are skipped elsewhere; CI
# gets one.
install_browser() {
    local name
    for name in chromium chromium-browser google-chrome chrome; do
        ! command -v "$name" >/dev/null || return 0
    done
    if ! may_apt || ! (apt_install chromium); then
        say "no browser: tests of interactive pages are skipped"
    fi
}

make_venv() {
    local python="$1" target="$2" version
    "$python" -m venv --clear "$target" >/dev/null 2>&1 && return
    # Debian's python3 comes without ensurepip.
    version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    may_apt || die "this Python cannot make virtual environments. As an administrator:" \
        "apt-get install python$version-venv"
    apt_install "python$version-venv"
    "$python" -m venv --clear "$target" >/dev/null || die "$python -m venv failed"
}

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# The CPU wheel of torch where there is no GPU: a fifth of the size of the one with CUDA. pip finds
# it when its own configuration offers it; uv knows PyTorch's CPU index by itself.
install_torch() {
    local venv="$1" log="$2" pip=("$1/bin/python" -m pip install)
    if [ "$(uname -s)" = Linux ] && ! has_gpu; then
        "${pip[@]}" -c "$CONSTRAINTS" "torch==$TORCH_VERSION+cpu" >>"$log" 2>&1 </dev/null && return
        if "${pip[@]}" -c "$CONSTRAINTS" uv >>"$log" 2>&1 </dev/null &&
            "$venv/bin/uv" pip install --python "$venv/bin/python" --torch-backend=cpu \
                -c "$CONSTRAINTS" "torch==$TORCH_VERSION" >>"$log" 2>&1 </dev/null; then
            return
        fi
        say "no CPU wheel of torch $TORCH_VERSION was found; installing the default one (several GB)"
    fi
    quietly "$log" "${pip[@]}" -c "$CONSTRAINTS" "torch==$TORCH_VERSION"
}

fingerprint() {
    local device=cpu
    ! has_gpu || device=gpu
    { cat "$ROOT/pyproject.toml" "$CONSTRAINTS" "$ROOT/scripts/setup.sh"; echo "$device"; } | cksum
}

set_up() {
    local wanted python log="$VENV/install.log"
    [ -z "${CI:-}" ] || install_browser
    wanted="$(fingerprint) $ROOT"
    if [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/installed" 2>/dev/null)" = "$wanted" ]; then
        install_libraries "$VENV/bin/python"
        return
    fi
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        python="$(find_python)"
        say "making $VENV"
        make_venv "$python" "$VENV"
    fi
    : >"$log"
    install_libraries "$VENV/bin/python"
    say "installing torch $TORCH_VERSION"
    install_torch "$VENV" "$log"
    say "installing meshgnn and its dependencies"
    quietly "$log" "$VENV/bin/python" -m pip install --prefer-binary -c "$CONSTRAINTS" \
        -e "$ROOT[mesh,viz,docs,test]"
    # No wheels for some systems and for new versions of Python: without them their tests are skipped.
    local extra
    for extra in ray large; do
        "$VENV/bin/python" -m pip install --only-binary ray,pymetis -c "$CONSTRAINTS" \
            -e "$ROOT[$extra]" >>"$log" 2>&1 </dev/null || say "no wheel for meshgnn[$extra]"
    done
    printf '%s\n' "$wanted" >"$VENV/installed"
    say "ready in ${SECONDS} s"
}
