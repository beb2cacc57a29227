# What people do with this tree. Each line is something that you could type yourself.

# Tools that scripts/deps.sh brought come first.
export PATH := $(CURDIR)/.deps/bin:$(PATH)

# rustup looks for its toolchains under HOME. Where HOME is another one (a clean environment, a
# build service), they lie next to the cargo on PATH.
ifeq ($(shell cargo --version 2>/dev/null),)
export RUSTUP_HOME := $(abspath $(dir $(shell command -v cargo 2>/dev/null))../../.rustup)
endif

.PHONY: help demo test soak lint bench docs install deb fmt

help: ## Shows this list.
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 10

# The development profile builds in half the time, and its dependencies are optimised.
demo: ## Builds, brings two workers up, makes pictures, and leaves nothing running.
	scripts/deps.sh cc onnxruntime
	cargo build --workspace --bins
	scripts/demo.sh

test: ## Runs all tests: units, processes, documentation.
	scripts/deps.sh cc onnxruntime etcd localhost iproute2 slurm sshd systemd
	cargo build --workspace --bins
	scripts/test.sh

# The same SEED does the same faults.
DURATION ?= 1200
SEED ?= $(shell date +%s)
soak: ## Does faults to a fleet for DURATION seconds, and checks what came of every request.
	scripts/deps.sh cc onnxruntime etcd
	cargo build --workspace --bins
	HEARTH_SOAK_SECONDS=$(DURATION) HEARTH_SOAK_SEED=$(SEED) \
		cargo test --package hearth-tests --test soak -- --nocapture

lint: ## Checks format, lints, the tree's own rules, and where dependencies come from.
	scripts/deps.sh cc cargo-deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo test --package hearth-tidy
	cargo deny check bans sources licenses

# BENCH_PEERS=1 puts Ray, gRPC and optimum beside it: bench/README.md.
bench: ## Measures, prints tables and writes target/bench/report.json.
	scripts/deps.sh cc onnxruntime etcd
	cargo build --release --workspace --bins
	target/release/hearth-bench

docs: ## Builds the documentation of the crates.
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

# PROFILE=dev installs what `make demo` built. DESTDIR and PREFIX are as usual.
PROFILE ?= release
export PROGRAMS = target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
export DESTDIR PREFIX

install: ## Installs programs, library, units, manual and demo model; starts nothing.
	scripts/deps.sh cc onnxruntime
	cargo build --profile $(PROFILE) --workspace --bins
	scripts/install.sh

# The package is made of what `make install` would install below /usr.
deb: ## Makes a Debian package in target/debian.
	scripts/deps.sh cc onnxruntime cargo-deb
	cargo build --profile $(PROFILE) --workspace --bins
	rm -rf target/package
	DESTDIR=target/package PREFIX=/usr scripts/install.sh
	cargo deb --package hearth-cli --no-build --no-strip --output target/debian/

fmt: ## Formats the sources.
	cargo fmt --all
