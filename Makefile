# Three commands do everything on a fresh Debian or Ubuntu with Rust: `make demo`, `make demo-agents` and `make test`.
# RocksDB takes minutes to compile, so all share one profile and one target directory outside the checkout.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/bailiwick/target
CARGO = cargo
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo demo-agents test bench lint install setup first
demo: setup first
	@$(CARGO) run --release --locked --quiet -- demo

demo-agents: setup first
	@$(CARGO) run --release --locked --quiet -- demo agents

# This package without optimisation, its dependencies as everywhere: optimising it twice takes longer than all tests.
test: setup first
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=0 $(CARGO) test --release --locked

bench: setup first
	$(CARGO) bench --locked

install: setup first
	$(CARGO) install --locked --path .

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings

# What RocksDB's build needs: a C++ compiler, and libclang for its bindings.
setup:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }
	@if ! { command -v c++ >/dev/null && ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* 2>/dev/null | grep -q '/libclang[-.0-9]*\.so'; }; then \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q g++ clang libclang-dev make; fi

# So that nobody thinks that a silent compiler hangs.
first:
	@ls "$(CARGO_TARGET_DIR)"/release/bailiwick >/dev/null 2>&1 || echo "The first build compiles RocksDB; that takes some minutes."
