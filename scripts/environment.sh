# Sourced by the other scripts: one environment in .venv, made once, brought up to date when what it
# is built from has changed. The current directory is the repository's root.

# Steps end in `|| return`: callers may run these functions where `set -e` has no effect, and what
# failed must never be noted as current.

# The newest interpreter that will do: with venv and with headers. PYTHON names the only one.
environment_python() {
  local name
  for name in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3 python}; do
    if command -v "$name" >/dev/null 2>&1 && "$name" -c '
import ensurepip, os, sys, sysconfig, venv
headers = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
sys.exit(sys.version_info < (3, 11) or not headers)' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  echo "MetaBonk needs Python 3.11 or newer with venv and headers${PYTHON:+, which PYTHON=$PYTHON is not}:" \
    "apt-get install python3 python3-venv python3-dev" >&2
  return 1
}

environment_hash() {  # of all that the installed core and the set of packages follow from
  local name parts=()
  for name in csrc kernels CMakeLists.txt pyproject.toml constraints.txt; do
    [ ! -e "$name" ] || parts+=("$name")
  done
  { find "${parts[@]}" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    echo "$1"; } | sha256sum | cut -c1-64
}

environment_packages_hash() { { cat pyproject.toml constraints.txt; echo "$1"; } | sha256sum | cut -c1-64; }

# environment_ensure EXTRAS: makes .venv hold the package with these extras, current with the tree.
environment_ensure() {
  local extras want
  extras=$(environment_extras "$1")
  want=$(environment_hash "$extras")
  environment_current "$want" && return 0
  mkdir -p build || return
  exec 9>build/.environment.lock
  flock 9 || return
  extras=$(environment_extras "$1")  # again: another start may have just installed more
  want=$(environment_hash "$extras")  # before the build: an edit meanwhile makes it stale again
  if environment_current "$want"; then
    :  # another start has just done it
  elif environment_runs &&
    [ "$(cat .venv/.metabonk-packages 2>/dev/null)" = "$(environment_packages_hash "$extras")" ]; then
    echo "metabonk: the native core is stale, building it" >&2
    environment_build_locked >&2 || return
    echo "$want" >.venv/.metabonk-hash
  else
    environment_install "$extras" || return
    echo "$want" >.venv/.metabonk-hash
  fi
  exec 9>&-
}

# environment_extras EXTRAS: these and what .venv holds already, which stays. `test` is several.
environment_extras() {
  local all name kept=
  all=",$(cat .venv/.metabonk-extras 2>/dev/null),$1,"
  case "$all" in *,test,*) kept=test ;; esac
  for name in ${all//,/ }; do
    case ",$kept,$name" in *",$name,"*) continue ;; esac
    case "$kept:$name" in test*:train | test*:games | test*:video | test*:dev) continue ;; esac
    kept=${kept:+$kept,}$name
  done
  echo "$kept"
}

environment_known_extras() {  # their names, as pyproject.toml has them
  sed -n '/^\[project.optional-dependencies\]/,/^\[project.scripts\]/s/^\([a-z]*\) = .*/\1/p' pyproject.toml | tr '\n' ' ' | sed 's/ $//'
}

environment_runs() {  # an interpreter that was removed or replaced leaves dangling links
  [ -x .venv/bin/python ] && [ -x .venv/bin/metabonk ] && environment_modules_there
}

environment_modules() { find metabonk kernels bench -name '*.py' | LC_ALL=C sort; }

# The editable install remembers where each module was: one that moved is looked for at its old place.
environment_modules_there() {
  [ -e .venv/.metabonk-modules ] &&
    [ -z "$(environment_modules | LC_ALL=C comm -23 .venv/.metabonk-modules -)" ]
}

environment_current() {  # whether .venv was made of what has this hash
  environment_runs && [ "$(cat .venv/.metabonk-hash 2>/dev/null)" = "$1" ]
}

environment_install() {
  local extras=$1 python
  command -v "${CXX:-c++}" >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || {
    echo "MetaBonk needs a C++20 compiler: apt-get install g++" >&2
    return 1
  }
  if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    python=$(environment_python) || return
    echo "metabonk: making .venv with $("$python" --version)" >&2
    "$python" -m venv .venv || return
  fi
  echo "metabonk: installing packages [$extras] (the first time takes minutes)" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
    scikit-build-core nanobind cmake ninja >&2 || return
  PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -c constraints.txt --no-build-isolation --editable ".[${extras/test/train,games,video,dev}]" >&2 || return
  echo "$extras" >.venv/.metabonk-extras
  environment_modules >.venv/.metabonk-modules
  environment_packages_hash "$extras" >.venv/.metabonk-packages
}

environment_build() {  # for the edit loop: build and install, then note that it is current
  local want
  [ -x .venv/bin/cmake ] || { echo "no environment yet: run ./scripts/metabonk doctor first" >&2; return 1; }
  mkdir -p build || return
  exec 9>build/.environment.lock
  flock 9 || return
  want=$(environment_hash "$(cat .venv/.metabonk-extras)")
  environment_build_locked || return
  echo "$want" >.venv/.metabonk-hash
  exec 9>&-
}

environment_tree() {  # where the installed core was built; empty if that is gone
  find build -maxdepth 2 -name CMakeCache.txt -path 'build/cp*' -printf '%T@ %h\n' 2>/dev/null | sort -rn | head -1 | cut -d' ' -f2-
}

# `pip install .` builds in the same tree, with tools of its own that are gone when it is done.
environment_tools_there() {
  local name path
  for name in CMAKE_COMMAND CMAKE_MAKE_PROGRAM nanobind_DIR; do
    path=$(sed -n "s/^$name:[A-Z]*=//p" "$1/CMakeCache.txt")
    [ -n "$path" ] && [ -e "$path" ] || return 1
  done
}

# scikit-build-core's editable mode imports what was installed, not what was built: so install.
environment_build_locked() {
  local tree site
  tree=$(environment_tree)
  if [ -z "$tree" ] || ! environment_tools_there "$tree" || ! environment_modules_there; then
    environment_install "$(cat .venv/.metabonk-extras)"
    return
  fi
  site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))') || return
  PATH="$PWD/.venv/bin:$PATH" .venv/bin/cmake --build "$tree" || return
  # Without this CMake takes two builds within one second for the same.
  CMAKE_INSTALL_ALWAYS=1 .venv/bin/cmake --install "$tree" --prefix "$site" >/dev/null
}

# The native module's typed face, kept in the tree: readers and the type checker see what it offers.
environment_stubs() {
  rm -rf build/stubs
  .venv/bin/python -m nanobind.stubgen -q -r -m metabonk._core -O build/stubs
  mkdir -p metabonk/_core
  rm -f metabonk/_core/*.pyi
  find build/stubs -name '*.pyi' -exec cp {} metabonk/_core/ \;
}
