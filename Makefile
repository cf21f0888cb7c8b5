# pg_cache/Makefile
#
#   make                  build, in build/<PostgreSQL major version>
#   make install          install into the server that PG_CONFIG names
#   make installcheck     the tests against a running server that preloads us
#   make check            all tests in a private copy of the server: installs
#                         nothing into it, needs no running one; root may call it
#   make check-asserts    the same with our assertions
#   make check-ubsan      the same with the undefined-behaviour sanitizer
#   make check-valgrind   regress and isolation with the server under valgrind
#   make torture          the long form of the torture test, and broken rules that
#                         it must find; test/torture/README.md
#   make fuzz             the fuzz targets of test/unit, FUZZ_SECONDS=600 each
#   make demo, bench      demo/run and bench/run in the same kind of private copy
#   make bench-overhead   what pg_cache costs those who don't use it
#   make bench-upkeep     what the upkeep of the store takes, and what puts gain by it
#   make bench-learned    how well learning foretells, on a trace
#   make lint             the checks that need no server; CONTRIBUTING.md lists them
#   make indent           lay out src/ as PostgreSQL does
#   make dist             the archive for PGXN
#   make clean            remove build/, and stop the servers that run in it
#
# One test:      make check REGRESS=api ISOLATION= TAP_TESTS= UNIT=
# One TAP file:  make check REGRESS= ISOLATION= UNIT= PROVE_TESTS=test/t/010_crash.pl PROVE_FLAGS=-v
# One unit test: make check REGRESS= ISOLATION= TAP_TESTS= UNIT=heap
# Another PG:    make check PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config
# Other flags:   make check PG_CFLAGS=-O0        (a change of flags rebuilds)

# Where this Makefile lies; the current directory is the build directory.
here := $(patsubst %/,%,$(dir $(abspath $(firstword $(MAKEFILE_LIST)))))
submake = $(MAKE) --no-print-directory -f '$(here)/Makefile'

ifndef VPATH

# ---- called in the source directory ----------------------------------------
#
# Hand every goal to a VPATH build, one per server version and flavour, so that
# the sources stay clean and versions never mix.
#
# pg_config may not exist before tools/install-deps has run, so everything that
# needs it is expanded late, in recipes.
given_pg_config := $(PG_CONFIG)
ifeq ($(given_pg_config),)
PG_CONFIG = $(shell '$(here)/tools/find-pg-config')
endif
major = $(if $(PG_CONFIG),$(shell '$(PG_CONFIG)' --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'))
inner = $(MAKE) --no-print-directory PG_CONFIG='$(PG_CONFIG)'
deps  = '$(here)/tools/install-deps' --pg-config='$(given_pg_config)'

tested := check check-asserts check-ubsan check-valgrind
served := $(tested) torture demo bench bench-overhead bench-upkeep bench-learned fuzz
local  := all clean lint indent dist $(served)

.NOTPARALLEL:
.PHONY: $(local) $(MAKECMDGOALS)

all $(filter-out $(local),$(MAKECMDGOALS)):
	@test -n '$(PG_CONFIG)' || { echo 'no pg_config here: set PG_CONFIG, or let tools/install-deps install PostgreSQL' >&2; exit 1; }
	@mkdir -p '$(here)/build/$(major)'
	+@$(inner) -C '$(here)/build/$(major)' -f '$(here)/Makefile' VPATH='$(here)' $@

# These start servers, so tools/serve runs them as an ordinary user.
.PHONY: deps-build deps-check deps-valgrind deps-bench deps-lint
deps-build:
	@$(deps) build
deps-check deps-valgrind deps-bench deps-lint: deps-%:
	@$(deps) build $*

serve = TEST_USER='$(TEST_USER)' '$(here)/tools/serve'
demo: deps-build
check check-asserts check-ubsan torture bench-learned fuzz: deps-check
check-valgrind: deps-valgrind
bench bench-overhead bench-upkeep: deps-bench

check:
	+@$(serve) $(major)-check $@ $(inner) FLAVOUR=check run-tests
check-asserts check-ubsan check-valgrind: check-%:
	+@$(serve) $(major)-$* $@ $(inner) FLAVOUR=$* run-tests
demo bench bench-overhead bench-upkeep:
	+@$(serve) $(major) $@ $(inner) with_llvm=no $@
torture bench-learned fuzz:
	+@$(serve) $(major)-check $@ $(inner) FLAVOUR=check $@

lint indent: deps-lint
	@mkdir -p '$(here)/build/$(major)-lint'
	+@$(inner) -C '$(here)/build/$(major)-lint' -f '$(here)/Makefile' VPATH='$(here)' FLAVOUR=lint $@

version = $(shell sed -n 's/^ *"version": "\(.*\)",/\1/p' '$(here)/META.json' | head -1)
dist:
	@mkdir -p '$(here)/build'
	git -C '$(here)' archive --format=zip --prefix=pg_cache-$(version)/ \
	  --output='$(here)/build/pg_cache-$(version).zip' HEAD

clean:
	@'$(here)/tools/serve' --clean
	rm -rf '$(here)/build'

else # VPATH

PG_CONFIG ?= pg_config

EXTENSION  = pg_cache
MODULE_big = pg_cache
PGFILEDESC = "pg_cache - managed cache in the server"

# Names relative to the source directory; sort makes the order the same everywhere.
sources = $(patsubst $(here)/%,%,$(sort $(wildcard $(addprefix $(here)/,$(1)))))
names   = $(basename $(notdir $(call sources,$(1))))

DATA = $(call sources,$(EXTENSION)--*.sql)
OBJS = $(patsubst %.c,%.o,$(call sources,src/pg_cache.c src/*/*.c)) $(WIN32RES)

# ---- flavours --------------------------------------------------------------
#
# None is what users install.  The others have the test clock and the debug
# points (PGCACHE_TEST) and are only ever installed into a private copy.
flags_check    = -DPGCACHE_TEST
flags_asserts  = -DPGCACHE_TEST -DUSE_ASSERT_CHECKING
flags_ubsan    = -DPGCACHE_TEST -fsanitize=undefined -fno-sanitize-recover=undefined
flags_valgrind = -DPGCACHE_TEST
# Unused types too, because tools/indent reads all type names from here.
flags_lint     = -DPGCACHE_TEST -DUSE_ASSERT_CHECKING -Werror -fno-eliminate-unused-debug-types

WARNINGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers

override PG_CPPFLAGS += -I$(here)/src
# PGXS does not track headers (packaged servers are built without autodepend):
# -MMD -MP.  Here and not in CPPFLAGS, which clang's bitcode pass sees as well.
override PG_CFLAGS += -std=gnu11 $(WARNINGS) $(flags_$(FLAVOUR)) -MMD -MP
# dlopen() is RTLD_GLOBAL and PG 15 exports everything, so say what goes out.
SHLIB_LINK = -llz4 -lzstd -Wl,--version-script=$(here)/src/pg_cache.map

ifdef FLAVOUR
ifeq ($(flags_$(FLAVOUR)),)
$(error no such FLAVOUR: $(FLAVOUR))
endif
# No bitcode where nobody measures.
override with_llvm = no
# Lets TAP tests skip what needs the test build; see test_% below.
export PGCACHE_TEST = 1
endif

# ---- which tests -----------------------------------------------------------
#
# sql/test_*.sql and test/specs/test_*.spec need the test build, so a plain
# installcheck leaves them out.  Under valgrind run regress and isolation only.
for_this_build = $(if $(FLAVOUR),$(1),$(filter-out test_%,$(1)))

REGRESS        = $(call for_this_build,$(call names,sql/*.sql))
REGRESS_OPTS   = --inputdir=$(here)
ISOLATION      = $(call for_this_build,$(call names,test/specs/*.spec))
ISOLATION_OPTS = --inputdir=$(here)/test
ifneq ($(FLAVOUR),valgrind)
TAP_TESTS      = $(if $(wildcard $(here)/test/t/*.pl),1)
UNIT           = $(patsubst test_%,%,$(call names,test/unit/test_*.c))
# Whoever selects unit tests by name asks for fuzz targets by name as well.
FUZZ           = $(if $(filter command,$(origin UNIT)),,$(patsubst fuzz_%,%,$(call names,test/unit/fuzz_*.c)))
endif
PROVE_TESTS   ?= test/t/*.pl

EXTRA_CLEAN = $(OBJS:.o=.d) compile_flags object_list unit fuzz report tmp_install tmp_check \
	tmp_instance_* output_iso log valgrind_logs bench_data

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

-include $(OBJS:.o=.d)

$(OBJS) $(OBJS:.o=.bc): | objdirs
.PHONY: objdirs
objdirs:
	@mkdir -p $(sort $(dir $(OBJS)))

# Objects of other flags are stale, and so is a module with a source that is gone.
# These files change only when what they hold does.
compile_flags = $(CC) $(CFLAGS) $(CPPFLAGS) $(unit_cflags) $(unit_sanitize)
object_list   = $(OBJS) $(unit_objs)
$(OBJS): compile_flags
$(shlib): object_list src/pg_cache.map
compile_flags object_list: FORCE
	@echo '$($@)' | cmp -s - $@ || echo '$($@)' >$@
.PHONY: FORCE

# Compile on all processors, unless make was told how many.
jobs = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))

# ---- unit tests and fuzz targets: no server --------------------------------
#
# test/unit/test_NAME.c is a program that prints TAP, test/unit/fuzz_NAME.c is a
# libFuzzer target.  Each is linked with the sources that can live without a
# server and with shim.c, which stands in for the server functions they call.
UNIT_SRCS ?= $(call sources,src/store/*.c src/stamp/rules.c src/stats/foretold.c src/stats/histogram.c src/stats/sketch.c src/worker/psi.c \
	src/trigger/template.c src/warm/schedule.c)
UNIT_LIBS ?= -L$(pkglibdir) -L$(libdir) -lpgcommon -lpgport -llz4 -lzstd -lm

unit_sanitize = -fsanitize=address,undefined -fno-sanitize-recover=all
unit_cflags   = -std=gnu11 -g -O1 $(WARNINGS) -DPGCACHE_UNIT -DPGCACHE_TEST -DUSE_ASSERT_CHECKING \
	-pthread -MMD -MP -I$(here)/test/unit $(CPPFLAGS)
unit_objs     = $(patsubst %.c,%.o,$(UNIT_SRCS) $(call sources,test/unit/shim.c))
unit_programs = $(UNIT:%=unit/test_%)
# The server's clang, as in its Makefile.global, else any.
FUZZ_CC      ?= $(firstword $(foreach c,$(CLANG) clang,$(shell command -v $(c))))
fuzz_programs = $(FUZZ:%=fuzz/fuzz_%)

unit/%.o: $(here)/%.c compile_flags
	@mkdir -p $(@D)
	$(CC) $(unit_cflags) $(unit_sanitize) -c -o $@ $<
fuzz/%.o: $(here)/%.c compile_flags
	@mkdir -p $(@D)
	$(FUZZ_CC) $(unit_cflags) -Wno-ignored-attributes $(unit_sanitize) -fsanitize=fuzzer-no-link -c -o $@ $<
$(unit_programs): unit/%: unit/test/unit/%.o $(addprefix unit/,$(unit_objs)) object_list
	$(CC) $(unit_sanitize) -pthread -o $@ $(filter %.o,$^) $(UNIT_LIBS)
$(fuzz_programs): fuzz/%: fuzz/test/unit/%.o $(addprefix fuzz/,$(unit_objs)) object_list
	$(FUZZ_CC) $(unit_sanitize) -fsanitize=fuzzer -pthread -o $@ $(filter %.o,$^) $(UNIT_LIBS)
-include $(wildcard unit/src/*/*.d unit/test/unit/*.d fuzz/src/*/*.d fuzz/test/unit/*.d)
.PRECIOUS: unit/%.o fuzz/%.o

# libFuzzer may be missing; then a message says so and nothing is counted.
have_fuzzer = $(if $(FUZZ_CC),$(wildcard $(shell $(FUZZ_CC) --print-runtime-dir 2>/dev/null)/libclang_rt.fuzzer*))

.PHONY: unit-tests fuzz fuzz-programs
unit-tests:
	+@$(submake) -s $(jobs) $(unit_programs) $(if $(have_fuzzer),$(fuzz_programs))
	@'$(here)/tools/run-unit' $(unit_programs) $(if $(have_fuzzer),$(fuzz_programs))
	$(if $(FUZZ),$(if $(have_fuzzer),,@echo '# no clang with libFuzzer: fuzz targets skipped'))
fuzz:
	$(if $(have_fuzzer),,@echo 'fuzz needs clang with libFuzzer' >&2; exit 1)
	+@$(submake) -s $(jobs) $(fuzz_programs)
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} '$(here)/tools/run-unit' $(fuzz_programs)

# ---- a private copy of the server ------------------------------------------
#
# A server finds its share and lib directories relative to its own binary.  So
# copied binaries beside symlinked libraries are a relocated installation, which
# "make install DESTDIR=" then completes without touching the real one.

tmp_install    = $(CURDIR)/tmp_install
private_bindir = $(tmp_install)$(bindir)
in_private     = installcheck bindir='$(private_bindir)' NO_LOCALE=1 ENCODING=UTF8 \
	EXTRA_REGRESS_OPTS='--temp-instance=tmp_instance_$(@:part-%=%) --temp-config=$(here)/test/test.conf'

.PHONY: temp-install
temp-install:
	@echo 'compiling ($(or $(FLAVOUR),production))'
	+@$(submake) -s $(jobs) all
	@rm -rf '$(tmp_install)'
	@mkdir -p '$(private_bindir)' '$(tmp_install)$(pkglibdir)' '$(tmp_install)$(datadir)'
	@cp -a '$(bindir)'/. '$(private_bindir)'
	@cp -as '$(pkglibdir)'/. '$(tmp_install)$(pkglibdir)'
	@cp -as '$(datadir)'/. '$(tmp_install)$(datadir)'
	+@$(submake) -s install DESTDIR='$(tmp_install)'
ifeq ($(FLAVOUR),valgrind)
	@mv '$(private_bindir)/postgres' '$(private_bindir)/postgres.real'
	@cp '$(here)/test/valgrind-postgres' '$(private_bindir)/postgres'
endif

demo bench: temp-install
	@test -x '$(here)/$@/run' || { echo 'there is no $@/run' >&2; exit 1; }
	@'$(here)/$@/run' '$(private_bindir)' '$(CURDIR)'

bench-overhead: temp-install
	@'$(here)/bench/pgbench-overhead' '$(private_bindir)' '$(CURDIR)'

bench-upkeep: temp-install
	@'$(here)/bench/upkeep' '$(private_bindir)' '$(CURDIR)'

bench-learned: temp-install
	@'$(here)/bench/learned' '$(private_bindir)' '$(CURDIR)'

# prove -v shows the figures.
torture: temp-install
	+@$(submake) -s $(in_private) REGRESS= ISOLATION= TAP_TESTS=1 PROVE_TESTS=test/torture/torture.pl PROVE_FLAGS=-v

# The parts of "make check", which tools/run-tests calls one after the other and
# counts.  It goes on after a failure and tells the whole story at the end.
parts = $(if $(UNIT)$(FUZZ),unit) $(if $(REGRESS),regress) $(if $(ISOLATION),isolation) \
	$(if $(TAP_TESTS),tap) $(if $(filter valgrind,$(FLAVOUR)),valgrind)

.PHONY: run-tests part-unit part-regress part-isolation part-tap part-valgrind demo bench bench-overhead bench-upkeep bench-learned torture
run-tests: temp-install
	@rm -rf valgrind_logs && mkdir valgrind_logs
	+@'$(here)/tools/run-tests' $(parts) -- $(submake)
part-unit: unit-tests
part-regress:
	+@$(submake) -s $(in_private) ISOLATION= TAP_TESTS=
part-isolation:
	+@$(submake) -s $(in_private) REGRESS= TAP_TESTS=
part-tap:
	+@$(submake) -s $(in_private) REGRESS= ISOLATION=
part-valgrind:
	@'$(here)/tools/valgrind-ours' '$(here)/src/' valgrind_logs

ifeq ($(FLAVOUR),valgrind)
# A server under valgrind is twenty times slower.
export VALGRIND_LOGS = $(CURDIR)/valgrind_logs
export PGCTLTIMEOUT = 600
export PGISOLATIONTIMEOUT = 1200
endif

# ---- checks that need no server --------------------------------------------

.PHONY: lint headerscheck cppcheck indent
lint:
	+@'$(here)/tools/lint' $(submake) $(jobs)

# Every header must compile on its own after postgres.h (as core's headerscheck).
headerscheck:
	@rc=0; for h in $$(cd '$(here)/src' && find . -name '*.h' | sed 's,^\./,,' | sort); do \
	  printf '#include "postgres.h"\n#include "%s"\n' $$h | \
	    $(CC) $(CFLAGS) $(CPPFLAGS) -MF /dev/null -fsyntax-only -x c - || \
	    { echo "src/$$h does not stand alone"; rc=1; }; \
	done; exit $$rc

cppcheck:
	@cppcheck -q --std=c11 --enable=warning,portability,performance --inline-suppr \
	  --suppress=toomanyconfigs --suppress='*:$(includedir_server)/*' --error-exitcode=1 \
	  -j2 -DPGCACHE_TEST -DUSE_ASSERT_CHECKING -DPG_VERSION_NUM=$(VERSION_NUM) \
	  -I '$(here)/src' -I '$(includedir_server)' '$(here)/src'

indent: all
	@'$(here)/tools/indent' '$(CURDIR)/$(MODULE_big).so'

endif # VPATH
