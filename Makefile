# Two commands do everything on a fresh Debian or Ubuntu with Rust: `make demo` and `make test`.
# RocksDB takes minutes to compile, so all share one profile and one target directory outside the checkout.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/bailiwick/target
CARGO = cargo
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: demo test setup lint bench
demo: setup
	$(CARGO) run --release --quiet -- demo

test: setup
	$(CARGO) test --release --locked

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings

# What RocksDB's build needs: a C++ compiler, and libclang for its bindings.
setup:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }
	@if ! { command -v c++ >/dev/null && ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* 2>/dev/null | grep -q '/libclang[-.0-9]*\.so'; }; then \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q g++ clang libclang-dev make; fi
