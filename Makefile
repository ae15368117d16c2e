# One Makefile for the whole house. MODE: release (default), debug, asan, tsan,
# cov; each builds in build/MODE, and build/NAME are links to the release ones.
MODE ?= release
JOBS ?= $(shell nproc)
B := build/$(MODE)
CC = gcc

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-qual \
  -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wstrict-prototypes \
  -Wmissing-prototypes -Wswitch-enum -Wformat=2 -Wnull-dereference \
  -Wimplicit-fallthrough
ifeq ($(CI),1)
WARN += -Werror
endif
HARDEN := -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
  -fstack-clash-protection -fcf-protection -fno-strict-aliasing \
  -fno-delete-null-pointer-checks
LINK_HARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack

OPT_release := -O2 -g $(HARDEN)
OPT_debug := -O1 -g -DCHATELLO_FAULTS
OPT_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
  -fno-sanitize-recover=undefined -DCHATELLO_FAULTS
OPT_tsan := -O1 -g -fsanitize=thread -DCHATELLO_FAULTS
OPT_cov := -O0 -g --coverage -DCHATELLO_FAULTS
OPT := $(OPT_$(MODE))
ifeq ($(OPT),)
$(error MODE is one of release debug asan tsan cov)
endif

CFLAGS := -std=c17 -D_GNU_SOURCE -I. -fPIE $(WARN) $(OPT)
LDFLAGS := $(LINK_HARDEN) $(filter -fsanitize% --coverage,$(OPT))

# Sources by room; a program is its rooms and its main in cmd/.
LIB := $(filter-out %_test.c %_fuzz.c lib/test.c,$(wildcard lib/*.c))
EDGE := $(filter-out %_test.c %_fuzz.c,$(wildcard edge/*.c))
STORE := $(filter-out %_test.c %_fuzz.c,$(wildcard store/*.c))
WORKERS := $(filter-out %_test.c %_fuzz.c,$(wildcard workers/*.c workers/providers/*.c))
ANALYTICS := $(filter-out %_test.c %_fuzz.c,$(wildcard analytics/*.c))
CMD := $(filter-out cmd/main_%.c %_test.c,$(wildcard cmd/*.c))
TESTS := $(wildcard lib/*_test.c edge/*_test.c store/*_test.c workers/*_test.c \
  workers/providers/*_test.c analytics/*_test.c cmd/*_test.c)
FUZZERS := $(wildcard lib/*_fuzz.c edge/*_fuzz.c store/*_fuzz.c workers/*_fuzz.c \
  workers/providers/*_fuzz.c)
INTEGRATION := $(wildcard integration-tests/*_test.c)

# What is common to worker processes, and what each has for itself.
POOL := workers/pool.c workers/pool_main.c
VALIDATE := $(POOL) workers/rules.c workers/prices.c workers/report.c \
  $(filter-out %_test.c,$(wildcard workers/validate*.c))
PROXY := $(POOL) $(filter-out workers/validate%.c workers/usage.c \
  workers/ledger%.c workers/rules.c workers/limits.c workers/limits_meter.c \
  workers/prices.c workers/report.c,$(filter-out $(POOL),$(WORKERS)))
USAGE := $(POOL) workers/usage.c workers/rules.c workers/limits.c workers/limits_meter.c workers/prices.c \
  workers/routes.c workers/upstream_text.c workers/providers/models.c $(wildcard workers/ledger*.c)
USAGE := $(filter-out %_test.c,$(USAGE))

obj = $(patsubst %.c,$(B)/%.o,$(1))

PROGRAMS := chatello chatello-edge chatello-validate chatello-proxy \
  chatello-usage chatello-analytics
BASE_LIBS := -lnng -lmsgpackc -lpthread
LIBS_chatello := -llmdb -lcrypto
LIBS_chatello-edge := -lmicrohttpd
LIBS_chatello-validate := -llmdb -lcrypto
LIBS_chatello-proxy := -lcurl -lcrypto
LIBS_chatello-usage := -llmdb -lcrypto
LIBS_chatello-analytics := -llmdb -lcrypto
ALL_LIBS := -lmicrohttpd -lcurl -llmdb -lcrypto
TEST_LIBS := -ljansson -lssl

OBJ_chatello := $(call obj,$(sort cmd/main_chatello.c $(CMD) $(LIB) $(STORE) $(ANALYTICS) \
  $(USAGE) $(VALIDATE)))
OBJ_chatello-edge := $(call obj,cmd/main_edge.c $(EDGE) $(LIB))
OBJ_chatello-validate := $(call obj,cmd/main_validate.c $(VALIDATE) $(LIB) $(STORE))
# The proxy opens provider keys; it has nothing else of the store.
OBJ_chatello-proxy := $(call obj,cmd/main_proxy.c $(PROXY) $(LIB) \
  $(filter store/crypto%,$(STORE)) store/master_key.c store/provider_key.c)
OBJ_chatello-usage := $(call obj,cmd/main_usage.c $(USAGE) $(LIB) $(STORE))
OBJ_chatello-analytics := $(call obj,cmd/main_analytics.c $(POOL) $(ANALYTICS) $(LIB) $(STORE))

.DEFAULT_GOAL := all

.PHONY: all
all: $(PROGRAMS:%=$(B)/%)
ifeq ($(MODE),release)
	@for p in $(PROGRAMS); do ln -sf release/$$p build/$$p; done
endif

define program
$(B)/$(1): $$(OBJ_$(1))
	@echo "  ld $$@"
	@$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(BASE_LIBS) $$(LIBS_$(1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

# Unit tests: every room in one binary, the mains left out.
ALL_ROOMS := $(LIB) $(EDGE) $(STORE) $(WORKERS) $(ANALYTICS) $(CMD)
$(B)/unit-tests: $(call obj,$(sort lib/test.c $(TESTS) $(FUZZERS) $(ALL_ROOMS)))
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(BASE_LIBS) $(ALL_LIBS) $(TEST_LIBS)

# Each fuzzer is also a unit test, which replays its corpus (lib/fuzz_test.h).
$(call obj,$(FUZZERS)): $(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc $@"
	@$(CC) $(CFLAGS) -include lib/fuzz_test.h -DFUZZ_PATH='"$*"' \
	  -DLLVMFuzzerTestOneInput=$(subst /,_,$*) -MMD -MP -c -o $@ $<

# Integration tests: the real programs, the scripted upstream, one test binary.
HARNESS := $(filter-out %_test.c,$(wildcard integration-tests/*.c))
$(B)/upstream: $(call obj,$(wildcard integration-tests/upstream/*.c) $(LIB))
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(BASE_LIBS)
# They walk the edge's table of routes.
$(B)/run-integration-tests: $(call obj,$(sort lib/test.c $(INTEGRATION) $(HARNESS) $(LIB) $(EDGE)))
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(BASE_LIBS) -lmicrohttpd -ljansson

# The bench's own programs.
BENCH := integration-tests/bench
$(B)/load: $(call obj,$(BENCH)/load.c)
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^
$(B)/fill: $(call obj,$(BENCH)/fill.c $(LIB) $(STORE) $(USAGE))
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(BASE_LIBS) -llmdb -lcrypto
$(B)/pairs: $(call obj,$(BENCH)/pairs.c $(LIB))
	@echo "  ld $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(BASE_LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc $@"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find build/$(MODE) build/fuzz -name '*.d' 2>/dev/null)

.PHONY: help run check unit asan tsan fuzz lint fmt size cov install dist clean deps

help:
	@sed -n 's/^#: //p' Makefile

#: make run          install what is missing, build, and start with a demo licence
run: deps
	+@$(MAKE) --no-print-directory all
	@.ci/run-demo build/chatello

#: make check        install what is missing, build, and run every test
check:
	@.ci/deps build check
	+@$(MAKE) --no-print-directory -j$(JOBS) all unit integration
	+@$(MAKE) --no-print-directory sdk

#: make unit         unit tests; T=name runs those whose name or file has it
unit: $(B)/unit-tests
	$(B)/unit-tests -j 4 $(T)

#: make integration  the real programs against a scripted upstream; T=name, KILLS=n
.PHONY: integration
integration: all $(B)/upstream $(B)/fill $(B)/run-integration-tests
	$(B)/run-integration-tests -j 2 $(T)

#: make sdk          the official clients of OpenAI and Anthropic against a house;
#:                   SDK_ONLY=text runs the pairs whose name has it
SDK := integration-tests/sdk
SDK_MODULES := $(SDK)/node_modules/.package-lock.json
$(SDK_MODULES): $(SDK)/package.json $(SDK)/package-lock.json
	@.ci/deps check
	@echo "  npm ci $(SDK)"
	@cd $(SDK) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
.PHONY: sdk
sdk: all $(B)/upstream $(SDK_MODULES)
	@SDK_BUILD=$(B) node --test --test-reporter=spec \
	  --test-reporter-destination=$(B)/sdk.log $(SDK)/sdk.test.js \
	  || { sed -n '/failing tests/,$$p' $(B)/sdk.log; exit 1; }
	@sed -n 's/^ℹ tests /official clients: tests passed: /p' $(B)/sdk.log

#: make bench        Chatello beside nginx; BENCH_OLD=1 also the old stack
.PHONY: bench
bench: all $(B)/upstream $(B)/load $(B)/fill $(B)/pairs
	@.ci/deps bench $(if $(BENCH_OLD),old)
	@integration-tests/bench/bench.sh

#: make asan tsan    the tests under the sanitizers
asan:
	+@$(MAKE) --no-print-directory -j$(JOBS) MODE=asan unit integration
tsan:
	+@$(MAKE) --no-print-directory -j$(JOBS) MODE=tsan unit

#: make fuzz         each fuzzer over its corpus and FUZZ_RUNS new inputs; the unit
#:                   tests replay the corpora
FUZZ_RUNS ?= 50000
FUZZ_FLAGS := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_NAMES := $(patsubst %.c,build/fuzz/%,$(FUZZERS))
FUZZ_ROOMS := $(patsubst %.c,build/fuzz/%.o,$(sort $(LIB) $(EDGE) $(STORE) $(WORKERS)))
build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@echo "  clang $@"
	@clang -std=c17 -D_GNU_SOURCE -I. $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
$(FUZZ_NAMES): build/fuzz/%: build/fuzz/%.o $(FUZZ_ROOMS)
	@echo "  ld $@"
	@clang $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(BASE_LIBS) $(ALL_LIBS)
fuzz: $(FUZZ_NAMES)
	@for f in $(FUZZ_NAMES); do corpus=$${f#build/fuzz/}; mkdir -p build/corpus/$$corpus; \
	  $$f -runs=$(FUZZ_RUNS) -max_len=65536 -close_fd_mask=1 build/corpus/$$corpus \
	    $$(test -d $${corpus}_corpus && echo $${corpus}_corpus) 2>build/fuzz.log \
	    && echo "ok   $$corpus" || { tail -40 build/fuzz.log; exit 1; }; done

#: make lint         the walls, formatters and analysers
lint: all
	@.ci/lint

#: make fmt          format everything
fmt:
	git ls-files '*.c' '*.h' '$(SDK)/*.js' | xargs clang-format -i

#: make size         the longest files and functions
size:
	@.ci/size

#: make cov          line coverage of the unit tests
cov:
	+@$(MAKE) --no-print-directory -j$(JOBS) MODE=cov unit
	@cd build/cov && find . -name '*.gcda' ! -name '*_test.gcda' | xargs gcov -n -s ../.. 2>/dev/null | \
	  awk '/^File .*\.c/ { f = $$2 } /^Lines executed/ && f { split($$0, a, "[:% ]"); print a[3] "%", f; f = "" }' | sort -n

#: make install      programs, units, man page, completion below DESTDIR PREFIX
PREFIX ?= /usr
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/chatello $(DESTDIR)$(PREFIX)/lib/systemd/system \
	  $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install $(PROGRAMS:%=$(B)/%) $(DESTDIR)$(PREFIX)/lib/chatello/
	ln -sf ../lib/chatello/chatello $(DESTDIR)$(PREFIX)/bin/chatello
	install -m 644 compose/systemd/*.service compose/systemd/*.socket compose/systemd/*.target $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -m 644 compose/systemd/chatello.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/chatello.conf
	install -m 644 doc/man/chatello.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 cmd/chatello.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/chatello

#: make dist         a source archive of HEAD
dist:
	@mkdir -p build
	git archive --prefix=chatello/ -o build/chatello.tar.gz HEAD

#: make clean        remove build/
clean:
	rm -rf build $(SDK)/node_modules

deps:
	@.ci/deps build
