# SPDX-License-Identifier: Apache-2.0
#
# Builds everything into $(BUILD). `make help` lists the targets. Sources are found by wildcard: a new file in one of
# the directories below needs no change here.

BUILD = build
PREFIX ?= /usr/local
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/libshm

# ---- what it needs --------------------------------------------------------------------------------------------------
# pkg-config names of what the exporter and the tools link, and Debian's packages for each purpose (`make deps` installs
# them all).
EXPORTER_PKGS := libmicrohttpd liburcu-bp libdeflate libzstd libsystemd gnutls yaml-0.1 libxcrypt libseccomp
TOOLS_PKGS := jansson
DEPS_BUILD := gcc libc6-dev make pkg-config libck-dev libmicrohttpd-dev liburcu-dev libdeflate-dev libzstd-dev libsystemd-dev libgnutls28-dev libyaml-dev libcrypt-dev libseccomp-dev \
    libjansson-dev
DEPS_RUN := git curl
DEPS_CHECK := git g++ clang libclang-rt-14-dev binutils util-linux procps libcmocka-dev valgrind strace curl ca-certificates \
    prometheus python3 python3-prometheus-client openssl zstd systemd mandoc spin
# for the exporter's page; node that is there already may bring its own npm, beside which Debian's cannot be installed
DEPS_CHECK += chromium $(if $(shell command -v npm),,nodejs npm)
DEPS_LINT := clang-format cppcheck shellcheck

# ---- how it is compiled ---------------------------------------------------------------------------------------------
CC ?= cc
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
VERSION := $(shell sed -nE 's/^\#define LIBSHM_VERSION +"(.*)"/\1/p' include/libshm.h)
$(if $(VERSION),,$(error there is no LIBSHM_VERSION in include/libshm.h))
SONAME := libshm.so.$(firstword $(subst ., ,$(VERSION)))

WARNINGS := -Wall -Wextra -Wpedantic -Wconversion $(if $(filter 1,$(WERROR)),-Werror)
HARDENING := -fstack-protector-strong
ifeq ($(findstring -fsanitize,$(CFLAGS))$(findstring -O0,$(CFLAGS)),)
HARDENING += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
LINK_CHECK := -Wl,--no-undefined
endif
BASE_CFLAGS := -std=gnu11 -O2 -g -pthread -fvisibility=hidden $(WARNINGS) $(HARDENING)
COMPILE = $(CC) $(BASE_CFLAGS) -Iinclude
LINK = $(CC) $(BASE_CFLAGS) $(CFLAGS) -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# -D_GNU_SOURCE= (empty) is what a source's own `#define _GNU_SOURCE` says.
CFLAGS_libshm = -fPIC -D_GNU_SOURCE= -include libshm/export.h -I.
CFLAGS_exporter = $(EXPORTER_CFLAGS)
CFLAGS_tools = $(TOOLS_CFLAGS)
CFLAGS_tests = -I. -Itests $(EXPORTER_CFLAGS)

ifeq ($(V),1)
say =
else
say = @printf '  %-4s %s\n' '$1' '$(patsubst $(BUILD)/%,%,$@)';
MAKEFLAGS += --no-print-directory
endif

# pkg-config is asked once, and only when something needs the answer.
ask = $(eval $1 := $$(shell pkg-config $2 || echo '`make deps` installs what is missing' >&2))$($1)
EXPORTER_CFLAGS = $(call ask,EXPORTER_CFLAGS,--cflags $(EXPORTER_PKGS))
EXPORTER_LIBS = $(call ask,EXPORTER_LIBS,--libs $(EXPORTER_PKGS))
TOOLS_CFLAGS = $(call ask,TOOLS_CFLAGS,--cflags $(TOOLS_PKGS))
TOOLS_LIBS = $(call ask,TOOLS_LIBS,--libs $(TOOLS_PKGS))

# ---- what there is --------------------------------------------------------------------------------------------------
OBJ := $(BUILD)/obj
objects = $(patsubst %.c,$(OBJ)/%.o,$(sort $(wildcard $1)))

LIB_OBJECTS := $(call objects,libshm/*.c)
EXPORTER_OBJECTS := $(call objects,exporter/*.c)
TOOLS_COMMON := $(call objects,tools/common*.c)
ORCHESTRATOR_OBJECTS := $(call objects,examples/orchestrator/*.c)
TESTS_COMMON := $(call objects,tests/common*.c)

LIBRARIES := $(if $(LIB_OBJECTS),$(BUILD)/libshm.a $(BUILD)/libshm.so)
TOOLS := $(patsubst tools/%.c,$(BUILD)/%,$(sort $(wildcard tools/shm-*.c)))
PROGRAMS := $(if $(EXPORTER_OBJECTS),$(BUILD)/shm-exporter) $(TOOLS)
ORCHESTRATOR := $(if $(ORCHESTRATOR_OBJECTS),$(BUILD)/orchestrator)
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/test_*.c)))
TORTURE_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/torture/torture_*.c)))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAYS := $(FUZZERS:$(BUILD)/tests/fuzz/fuzz_%=$(BUILD)/tests/fuzz/replay_%)
# Programs that the scripts of these directories use.
TEST_HELPERS := $(patsubst %.c,$(BUILD)/%,$(sort $(shell grep -sl '^int main' tests/cli/*.c tests/e2e/*.c)))
BENCHES := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard bench/bench_*.c)))

.PHONY: all tests sanitized benches
all: $(LIBRARIES) $(PROGRAMS) $(ORCHESTRATOR)
tests: all $(UNIT_TESTS) $(TORTURE_TESTS) $(TEST_HELPERS) $(REPLAYS)
sanitized: all $(UNIT_TESTS) $(TORTURE_TESTS)
benches: all $(BENCHES)

# ---- compiling ------------------------------------------------------------------------------------------------------
# Everything is compiled again when the compiler or the flags change.
FLAGS := $(CC) $(BASE_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
$(OBJ)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(FLAGS))' >$@
.PHONY: FORCE
FORCE:

$(OBJ)/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) $(CFLAGS_$(firstword $(subst /, ,$*))) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
.SECONDARY:

# ---- libraries and programs -----------------------------------------------------------------------------------------
# All of an archive is made anew, or an object whose source has gone would stay in it.
$(BUILD)/%.a:
	@mkdir -p $(@D)
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/libshm.a: $(LIB_OBJECTS)
$(OBJ)/exporter.a: $(EXPORTER_OBJECTS)
$(OBJ)/orchestrator.a: $(ORCHESTRATOR_OBJECTS)

# nodelete: threads, fork hooks and mappings of the library outlive a dlclose of it.
$(BUILD)/libshm.so.$(VERSION): $(LIB_OBJECTS) libshm/libshm.map
	$(call say,LD)$(LINK) $(LINK_CHECK) -shared -Wl,-soname,$(SONAME) -Wl,-z,nodelete \
		-Wl,--version-script=libshm/libshm.map -o $@ $(filter %.o,$^)
$(BUILD)/libshm.so: $(BUILD)/libshm.so.$(VERSION)
	@ln -sf $(<F) $(BUILD)/$(SONAME) && ln -sf $(<F) $@

$(BUILD)/shm-exporter: $(EXPORTER_OBJECTS) $(BUILD)/libshm.a
	$(call say,LD)$(LINK) -o $@ $^ $(EXPORTER_LIBS) $(LDLIBS)

# The page at /: one file made of exporter/page/, as an array for page.c to include.
PAGE := $(OBJ)/page
$(PAGE)/page_bytes.h: scripts/embed-page $(wildcard exporter/page/*)
	$(call say,GEN)scripts/embed-page $(PAGE)
$(OBJ)/exporter/page.o: CFLAGS_exporter += -I$(PAGE)
$(OBJ)/exporter/page.o: $(PAGE)/page_bytes.h

# shm-NAME: tools/shm-NAME.c, tools/NAME_*.c and what all tools share
define tool_program
$$(BUILD)/shm-$1: $$(OBJ)/tools/shm-$1.o $$(call objects,tools/$1_*.c) $$(TOOLS_COMMON) $$(BUILD)/libshm.a
	$$(call say,LD)$$(LINK) -o $$@ $$^ $$(TOOLS_LIBS) $$(LDLIBS)
endef
$(foreach tool,$(TOOLS),$(eval $(call tool_program,$(tool:$(BUILD)/shm-%=%))))
$(BUILD)/orchestrator: $(ORCHESTRATOR_OBJECTS) $(BUILD)/libshm.a
	$(call say,LD)$(LINK) -o $@ $^ -lm $(LDLIBS)

# ---- tests ----------------------------------------------------------------------------------------------------------
# A test that includes a header of exporter/ or examples/orchestrator/ is linked with what is in there.
archives = $(addsuffix .a,$(addprefix $(OBJ)/,$(shell sed -nE \
    's,^\#include "(\.\./)*(exporter|examples/orchestrator)/.*,\2,p' $1 | sort -u | sed 's,.*/,,')))

# A test that has a libshm_test_point() gets the library that calls it before each store of the setup paths.
library = $(if $(shell grep -l libshm_test_point $1),$(OBJ)/points.a,$(BUILD)/libshm.a)
$(OBJ)/points.a: $(LIB_OBJECTS:$(OBJ)/%.o=$(OBJ)/points/%.o)
$(OBJ)/points/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -DLIBSHM_TEST_POINTS $(CFLAGS_libshm) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define test_program
$$(BUILD)/tests/$1: $$(OBJ)/tests/$1.o $$(call objects,$$(dir tests/$1)common*.c) $$(TESTS_COMMON) \
        $$(call archives,tests/$1.c) $$(call library,tests/$1.c)
	@mkdir -p $$(@D)
	$$(call say,LD)$$(LINK) $2 -o $$@ $$^ -lcmocka $$(if $$(filter %exporter.a,$$^),$$(EXPORTER_LIBS)) -lm $$(LDLIBS)
endef
$(foreach test,$(UNIT_TESTS) $(TORTURE_TESTS) $(TEST_HELPERS),$(eval $(call test_program,$(test:$(BUILD)/tests/%=%),)))
$(foreach test,$(FUZZERS),$(eval $(call test_program,$(test:$(BUILD)/tests/%=%),-fsanitize=fuzzer)))

# The fuzz targets without libFuzzer, on the inputs that are kept.
define replay_program
$$(BUILD)/tests/fuzz/replay_$1: $$(OBJ)/tests/fuzz/replay.o $$(OBJ)/tests/fuzz/fuzz_$1.o \
        $$(call objects,tests/fuzz/common*.c) $$(call archives,tests/fuzz/fuzz_$1.c) $$(BUILD)/libshm.a
	@mkdir -p $$(@D)
	$$(call say,LD)$$(LINK) -o $$@ $$^ $$(EXPORTER_LIBS) -lm $$(LDLIBS)
endef
$(foreach fuzzer,$(FUZZERS),$(eval $(call replay_program,$(fuzzer:$(BUILD)/tests/fuzz/fuzz_%=%))))

# Benchmarks use the shared library, as most users do; what is inlined is inlined all the same.
$(BENCHES): $(BUILD)/bench/%: $(OBJ)/bench/%.o $(call objects,bench/common*.c) $(BUILD)/libshm.so
	@mkdir -p $(@D)
	$(call say,LD)$(LINK) -Wl,-rpath,'$$ORIGIN/..' -o $@ $(filter %.o,$^) -L$(BUILD) -lshm -ldeflate -lm $(LDLIBS)

# check, run and the like install first what they need, then start anew: pkg-config's answers depend on it. As many jobs
# as CPUs, unless -j was given.
again = $(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

RUN_TESTS = CC='$(CC)' scripts/run-tests $(RUN_TESTS_FLAGS)
RUN_TESTS_FLAGS ?=

.PHONY: check check-now sanitize sanitize-now torture fuzz model mutation bench bench-full bench-peers soak
check:
	@scripts/deps $(DEPS_BUILD) $(DEPS_CHECK)
	@+$(again) check-now
# Whatever directory of tests/ has executables in it; soak, model and mutation have targets of their own.
SCRIPT_SUITES := $(sort $(patsubst tests/%/,%,$(dir $(shell find tests -mindepth 2 -maxdepth 2 -type f -perm -u+x \
    ! -path 'tests/soak/*' ! -path 'tests/model/*' ! -path 'tests/mutation/*' ! -path 'tests/unit/*' ! -path 'tests/torture/*'))))
check-now: tests
	@$(RUN_TESTS) $(addsuffix @$(BUILD),unit unit/atomic unit/valgrind torture torture/atomic $(SCRIPT_SUITES))

# Without optimization beyond -O1 the reports are readable. A report ends the test.
SANITIZE := -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all
ASAN := $(SANITIZE) -fsanitize=address,undefined
# TSan does not model fences: gcc says so at each of them.
TSAN := $(SANITIZE) -fsanitize=thread $(if $(findstring clang,$(CC)),,-Wno-tsan)

sanitize:
	@scripts/deps $(DEPS_BUILD) $(DEPS_CHECK)
	@+$(again) sanitize-now
sanitize-now:
	@+$(MAKE) BUILD='$(BUILD)/asan' CFLAGS='$(CFLAGS) $(ASAN)' sanitized
	@+$(MAKE) BUILD='$(BUILD)/tsan' CFLAGS='$(CFLAGS) $(TSAN)' sanitized
	@$(RUN_TESTS) $(foreach way,asan tsan,$(foreach suite,unit torture,$(suite)@$(BUILD)/$(way)))

# ---- longer tests, and benchmarks -----------------------------------------------------------------------------------
needs = $(if $(wildcard $1),,$(error there is no $1 in this tree))

torture: SECONDS ?= 60
torture: tests
	@$(call needs,tests/torture)$(RUN_TESTS) --jobs=1 --torture-total=$(SECONDS) \
		torture@$(BUILD) torture/atomic@$(BUILD)
fuzz: SECONDS ?= 60
fuzz:
	@$(call needs,tests/fuzz)scripts/deps $(DEPS_BUILD) $(DEPS_CHECK)
	@+$(again) CC=clang BUILD='$(BUILD)/fuzz' CFLAGS='$(CFLAGS) -O2 -fsanitize=fuzzer-no-link,address,undefined' fuzzers
	@BUILD='$(abspath $(BUILD))' scripts/fuzz $(SECONDS)
.PHONY: fuzzers
fuzzers: $(FUZZERS)
model:
	@scripts/deps $(DEPS_CHECK)
	@$(call needs,tests/model/run)BUILD='$(abspath $(BUILD))' tests/model/run
mutation: tests
	@$(call needs,tests/mutation/run)BUILD='$(abspath $(BUILD))' tests/mutation/run $(if $(PATTERN),'$(PATTERN)')
soak: SECONDS ?= 3600
soak: all
	@$(call needs,tests/soak/run)BUILD='$(abspath $(BUILD))' tests/soak/run $(SECONDS)
bench: benches
	@$(call needs,bench/run)BUILD='$(abspath $(BUILD))' bench/run
bench-full: benches
	@$(call needs,bench/run)BUILD='$(abspath $(BUILD))' bench/run --full
bench-peers:
	@$(call needs,bench/install-peers)bench/install-peers

# ---- the demo -------------------------------------------------------------------------------------------------------
PORT ?= 8000
.PHONY: deps run run-now
deps:
	@scripts/deps $(sort $(DEPS_BUILD) $(DEPS_RUN) $(DEPS_CHECK) $(DEPS_LINT))
run:
	@scripts/deps $(DEPS_BUILD) $(DEPS_RUN)
	@+$(again) run-now
run-now: all
	@BUILD='$(BUILD)' PORT='$(PORT)' SECONDS_TO_RUN='$(SECONDS)' scripts/run

# ---- Python ---------------------------------------------------------------------------------------------------------
# `make check` tests it with Debian's python3.
DEPS_PYTHON := python3 python3-dev
DEPS_CHECK += $(DEPS_PYTHON) python3-pip python3-setuptools python3-wheel python3-flask gunicorn
check-now: python

.PHONY: python python-built install-python bench-python wheel
python:
	@scripts/deps $(DEPS_BUILD) $(DEPS_PYTHON)
	@+$(MAKE) python-built
python-built: $(LIBRARIES)
	@+$(call needs,bindings/python/Makefile)$(MAKE) -C bindings/python BUILD='$(abspath $(BUILD))' CC='$(CC)' build
install-python: python
	@+$(MAKE) -C bindings/python BUILD='$(abspath $(BUILD))' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' install
bench-python: python
	@scripts/deps python3-prometheus-client python3-matplotlib
	PYTHONPATH='$(BUILD)/python' /usr/bin/python3 bindings/python/bench/bench.py --results='$(BUILD)/bench/python.tsv' \
		--plot='$(BUILD)/bench/python-scrape.svg'
wheel: python
	@scripts/deps python3-pip python3-setuptools python3-wheel
	@+$(MAKE) -C bindings/python BUILD='$(abspath $(BUILD))' wheel

# ---- installing -----------------------------------------------------------------------------------------------------
INSTALL ?= install
man_sections = $(sort $(patsubst .%,%,$(suffix $(wildcard man/*.[1-8]))))
# install $1 (files, may be none) with mode $2 to directory $3
put = $(if $(strip $1),$(INSTALL) -d '$(DESTDIR)$3' && $(INSTALL) -m $2 $(strip $1) '$(DESTDIR)$3',:)

.PHONY: install install-built
install: all
	@+$(MAKE) install-built
install-built: # what is in $(BUILD), without looking whether it is up to date
	@$(call put,include/libshm.h,644,$(INCLUDEDIR))
	@$(call put,$(wildcard include/libshm/*.h),644,$(INCLUDEDIR)/libshm)
	@$(call put,$(BUILD)/libshm.a,644,$(LIBDIR))
	@$(call put,$(BUILD)/libshm.so.$(VERSION),755,$(LIBDIR))
	@ln -sf libshm.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	@ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libshm.so'
	@$(INSTALL) -d '$(DESTDIR)$(LIBDIR)/pkgconfig'
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|' \
		-e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' -e 's|@VERSION@|$(VERSION)|' \
		libshm.pc.in >'$(DESTDIR)$(LIBDIR)/pkgconfig/libshm.pc'
	@$(call put,$(PROGRAMS),755,$(BINDIR))
	@$(foreach section,$(man_sections),$(call put,$(wildcard man/*.$(section)),644,$(MANDIR)/man$(section)) &&) :
	@$(call put,$(wildcard README.md CHANGELOG.md LICENSE docs/*.md),644,$(DOCDIR))
	@$(INSTALL) -d '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	@sed 's|/usr/local/bin/|$(BINDIR)/|' systemd/shm-exporter.service \
		>'$(DESTDIR)$(PREFIX)/lib/systemd/system/shm-exporter.service'
	@chmod 644 '$(DESTDIR)$(PREFIX)/lib/systemd/system/shm-exporter.service' # whatever the umask
	@$(INSTALL) -D -m 644 systemd/sysusers.conf '$(DESTDIR)$(PREFIX)/lib/sysusers.d/libshm.conf'
	@$(INSTALL) -D -m 644 systemd/tmpfiles.conf '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/libshm.conf'
	@[ -n '$(DESTDIR)' ] || ldconfig 2>/dev/null || : # so that programs find the new library

# ---- housekeeping ---------------------------------------------------------------------------------------------------
C_FILES = $(shell find include libshm exporter tools examples tests bench bindings -name '*.[ch]' -o -name '*.cc' 2>/dev/null | sort)
SHELL_FILES = $(shell grep -rlsE '^\#!/bin/(ba)?sh' .ci scripts tests bench examples)
.PHONY: format lint clean help
format:
	clang-format -i $(C_FILES)
lint:
	@scripts/deps $(DEPS_LINT)
	clang-format --dry-run -Werror $(C_FILES)
	cppcheck --quiet --error-exitcode=1 --inline-suppr --suppress=ctuuninitvar --std=c11 -Iinclude -I. libshm exporter tools
	shellcheck -x -S warning $(SHELL_FILES)
clean:
	rm -rf $(BUILD)
help:
	@echo 'make                        libraries and programs, into build/ (BUILD=, CC=, CFLAGS=, V=1)'
	@echo 'make run [SECONDS=n]        demo: exporter on http://127.0.0.1:8000/metrics (PORT=) and an orchestrator'
	@echo 'make check                  every test (WERROR=1: warnings are errors)'
	@echo 'make sanitize               unit and torture tests under ASan+UBSan and under TSan'
	@echo 'make torture|fuzz|soak [SECONDS=n], make model|mutation, make bench|bench-full|bench-peers'
	@echo 'make install [PREFIX= DESTDIR=], make python, make install-python, make deps, make format, make lint, make clean'
