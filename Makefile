# A thin front for Meson. `make help` lists the targets.
BUILD ?= build
MESON ?= meson

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@$(MESON) setup $(BUILD)

test: all
	@$(MESON) test -C $(BUILD) --print-errorlogs

clean:
	rm -rf build build-*

.PHONY: all test clean
