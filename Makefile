# What the README calls. `make help` says what each does.
.DEFAULT_GOAL := help
DATA ?= $(CURDIR)/.creel
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
CREEL := $(TARGET)/release/creel
STATIC := -C target-feature=+crt-static

.PHONY: help up down test bench fmt lint build prepare fresh-clone

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

prepare: ## install what is missing (Rust, a C compiler, bubblewrap, nftables), or say which command does
	@./scripts/prepare

build: prepare ## build the release programs into target/release
	cargo build --release --locked -p creel
	cargo rustc --quiet --profile keeper --locked -p creel-keeper --bin creel-keeper -- $(STATIC)
	@install -m 755 $(TARGET)/keeper/creel-keeper $(TARGET)/release/creel-keeper.new
	@mv -f $(TARGET)/release/creel-keeper.new $(TARGET)/release/creel-keeper

up: build ## build creel, start it here, bring up a first agent and talk to it
	$(CREEL) --data '$(DATA)' up -d --demo

down: ## stop creel and every agent; their state stays
	@test -x $(CREEL) || { echo "nothing was built here yet, so nothing runs"; exit 0; }; \
	$(CREEL) --data '$(DATA)' down

test: prepare ## every test, with real OpenClaw at the end
	cargo build --locked --workspace --bins
	cargo test --locked --workspace

fmt: ## format the code
	cargo fmt --all

lint: ## what CI checks besides the tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	./scripts/check-docs

bench: build ## measure the promises; prints tables for docs/benchmarks.md
	cargo build --release --locked -p creel-e2e --bins
	$(TARGET)/release/creel-bench

fresh-clone: ## README's first command, in a fresh clone with an empty cache
	./scripts/fresh-clone
