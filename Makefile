# A thin front for Meson. `make help` lists the targets.
BUILD ?= build
MESON ?= meson
CLANG ?= clang
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 900

setup = $(MESON) setup
asan_flags = -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized
tsan_flags = -Db_sanitize=thread -Db_lundef=false -Dbuildtype=debugoptimized

all: $(BUILD)/build.ninja ## build the program and the library into build/
	@ninja -C $(BUILD)

%/build.ninja:
	@$(setup) $(flags) $*

test: all ## run the tests
	@$(MESON) test -C $(BUILD) --print-errorlogs

demo: ## run the bundled model: a chat answer and a tool call
	@./demo

check: ## everything CI runs: two compilers, tests, sanitizers, scripts, install
	@./check

asan: flags = $(asan_flags)
asan: build-asan/build.ninja ## the tests under AddressSanitizer and UBSan
	@$(MESON) test -C build-asan --print-errorlogs --timeout-multiplier 4

tsan: flags = $(tsan_flags)
tsan: build-tsan/build.ninja ## the tests that use threads, under ThreadSanitizer
	@$(MESON) test -C build-tsan --print-errorlogs --timeout-multiplier 8 --suite threads

build-fuzz/build.ninja:
	@CC="$(CLANG)" $(setup) -Dfuzz=true $(asan_flags) build-fuzz

fuzz: build-fuzz/build.ninja ## hunt with libFuzzer, FUZZ_SECONDS (900) per target; slow
	@ninja -C build-fuzz
	@scripts/fuzz $(FUZZ_SECONDS)

lint: all ## layers, limits, symbols, instruction sets
	@scripts/report

check-arm: ## build for 64-bit Arm and run its tests in an emulator; needs scripts/arm-tools
	@scripts/check-arm

check-macos: ## compile every file for macOS on Apple silicon; needs clang 19 and ziglang
	@scripts/check-macos

install: ## install below PREFIX (/usr/local); DESTDIR stages
	@$(MESON) setup --prefix=$(PREFIX) build-install $$(test -f build-install/build.ninja && echo --reconfigure)
	@ninja -C build-install
	@DESTDIR=$(DESTDIR) $(MESON) install --no-rebuild -C build-install

format: ## format all C files with clang-format
	@git ls-files '*.[ch]' | xargs clang-format -i

clean: ## remove all build folders
	rm -rf build build-*

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: all test demo check check-arm check-macos asan tsan fuzz lint install format clean help
