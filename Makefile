# What is built, run and tested every day needs Go and make alone. What needs more
# says so: `race` a C compiler, `browser-test` Chromium, `receivers` Python and
# Node, `sam-local` and `localstack-…` Docker, `oracles` and what is built on it
# Java, Maven and Python, `release-check` git and GNU's cp, `memory` Linux.
# `make help` lists the targets.

GO ?= go
.DEFAULT_GOAL := help

# No cgo: binaries are static, and a machine without a C compiler will do.
export CGO_ENABLED = 0

# What a build is called: what git describe says since the last tag like v1.2.3, or
# what it is told; where there is neither, the source's own version.
VERSION ?= $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null))
SOURCE_VERSION := $(shell sed -n 's/^var Version = "\(.*\)"/\1/p' internal/wire/app.go)

# -buildvcs=false: what is built does not depend on whether git is there.
LINK_FLAGS := -s -w $(if $(VERSION),-X posthorn/internal/wire.Version=$(VERSION))
BUILD_FLAGS := -trimpath -buildvcs=false -ldflags "$(LINK_FLAGS)"
# What is not inlined in libraries of which little or nothing runs often. It makes
# each function 0.4 MiB smaller, and the program 0.8 MiB, and nothing slower that
# counts: a call of a service takes the SDK some ten microseconds and waits for
# milliseconds, YAML is read once a start, and the others come with the embedded
# store, for figures and error reports that nobody asks it for.
COLD := github.com/aws go.yaml.in
COLD_IN_STORE := github.com/cockroachdb/errors github.com/cockroachdb/redact github.com/getsentry github.com/gogo \
	github.com/golang github.com/prometheus google.golang.org/protobuf golang.org/x/text github.com/beorn7 github.com/matttproud
# The command line is read once; certificates, and what AWS answers in XML, rarely.
COLD_IN_PROGRAM := github.com/spf13 github.com/schollz github.com/rivo github.com/mitchellh posthorn/cmd \
	posthorn/internal/client posthorn/internal/doctor posthorn/internal/reconcile encoding/xml encoding/asn1 crypto/x509 regexp text/template
SMALL_FLAGS := $(COLD:%=-gcflags=%/...=-l)
# -funcalign=16: where a function begins, as arm64 has it by itself; amd64's 32
# makes the program 0.2 MiB larger.
PROGRAM_FLAGS := $(SMALL_FLAGS) $(COLD_IN_STORE:%=-gcflags=%/...=-l) $(COLD_IN_PROGRAM:%=-gcflags=%/...=-l) \
	-trimpath -buildvcs=false -ldflags "$(LINK_FLAGS) -funcalign=16"
# lambda.norpc leaves out what only the retired go1.x runtime needs.
FUNCTION_FLAGS := -tags lambda.norpc $(SMALL_FLAGS) $(BUILD_FLAGS)
FUNCTIONS := api deliver dlq-sweeper

space := $(subst ,, )

# Tools are pinned in a module of their own.
TOOL := $(GO) tool -modfile=tools/go.mod

# Limits that `make size` holds, in bytes: of a bootstrap, and of the program,
# with which a container image stays under 25 MB.
MAX_BOOTSTRAP := 12582912
MAX_PROGRAM := 24600000

# Tests at once in a package: the end-to-end ones wait more than they work.
PARALLEL ?= 8

# The last LocalStack that needs no account.
LOCALSTACK_VERSION := 4.14.0
LOCALSTACK_URL ?= http://localhost:4566

# What is told on others' stand-ins: a test of each part of the path, within
# about a minute. Any other of the end-to-end tests that runs in every mode can
# be named.
STORIES ?= $(subst $(space),|,$(strip \
	TestAnEventReachesItsEndpointSigned \
	TestAFailingEndpointEndsInTheDeadLettersAndIsDeliveredByReplay \
	TestAMessageThatCannotBeDecodedShowsInTheDeadLetters \
	TestARepeatedPostWithItsKeyIsOneEvent \
	TestAnEndpointCountsAsSoonAsItsAnswerIsOut \
	TestABatchAnswersForEachOfItsEvents \
	TestRetryAfterIsHonoured \
	TestWhatAPausedEndpointHoldsIsReleasedByItsResume \
	TestRecoverSendsEverythingThatDied \
	TestListsPageByPage \
	TestSecretsAreKeptSealed \
	TestNobodyCallsWithoutAKeyOfTheRightRole))

# A number of inputs and not a time, at whose end Go may report its own deadline as
# a failure (https://go.dev/issue/75804).
FUZZTIME ?= 5000x
CHECKS ?= 1000
ROWS ?= 2000
BENCH ?= .
EVENTS ?= 40000
ARGS ?=

# The benchmarks of single steps of the path, of which bench/steps.txt has the figures.
STEPS := Headers Match MatchAgain EncodeMessage DecodeMessage EncodeDelivery DecodeDelivery DeliverBatchOfTen
STEP_PACKAGES := ./internal/sign ./internal/ingest ./internal/hook ./internal/dynamo ./internal/wire
MEASURE_STEPS := $(GO) test -run '^$$' -bench '^Benchmark($(subst $(space),|,$(STEPS)))$$' -benchtime 0.3s -count 8 $(STEP_PACKAGES)

##@ Every day

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-zA-Z0-9_-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: bin/posthorn ## Run everything on this machine; ARGS="--port 9000 --aws-port 0" adds flags
	@exec bin/posthorn local $(ARGS)

.PHONY: build
build: bin/posthorn bin/loadtest functions ## Build the programs into bin/ and the functions into build/

.PHONY: bin/posthorn bin/loadtest
bin/posthorn bin/loadtest:
	@echo "building $@, which takes half a minute the first time"
	@$(GO) build $(PROGRAM_FLAGS) -o $@ ./cmd/$(@F)

.PHONY: functions
functions: ## Build the three functions for this machine's processor, or for GOARCH
	@for name in $(FUNCTIONS); do \
		GOOS=linux $(GO) build $(FUNCTION_FLAGS) -o build/$$name/bootstrap ./functions/$$name || exit 1; \
	done

.PHONY: console
console: ## Make what is embedded of the console out of its sources
	@cd tools/console && $(GO) run . ../../internal/console

.PHONY: docs
docs: ## Write the tables of docs/configuration.md out of the code
	$(GO) test -count=1 ./internal/docstest -run '^TestTheTablesOfConfigurationAreMadeOfTheCode$$' -args -write

##@ Checks

.PHONY: test
test: ## Run the unit, integration and end-to-end tests
	$(GO) test -parallel $(PARALLEL) -timeout 5m ./...

# Not under the race detector: in the first four nothing runs at the same time as
# anything else, docstest looks at programs from outside, and what conformance asks
# at once, the tests of internal/localaws do as well. A race shows in what runs at
# once, not in many cases, so lifetest has ten of its property.
NOT_RACED := posthorn/internal/simulate posthorn/cmd/simulate posthorn/internal/archtest posthorn/internal/templatetest \
	posthorn/internal/docstest posthorn/internal/conformance
RACED = $(filter-out $(NOT_RACED) posthorn/internal/lifetest,$(shell $(GO) list ./...))

.PHONY: race
race: ## Run the tests of what runs at once with the race detector
	CGO_ENABLED=1 $(GO) test -race -parallel $(PARALLEL) -timeout 10m $(RACED)
	CGO_ENABLED=1 $(GO) test -race -timeout 10m ./internal/lifetest -rapid.checks=10

.PHONY: slow
slow: ## Run the longer form of tests that make test has short: a minute of replicas that are killed
	$(GO) test -count=1 -timeout 10m -v ./internal/e2e -run '^TestNothingIsLostWhenReplicasAreKilled$$' -args -slow

.PHONY: vet
vet: ## Run go vet
	$(GO) vet ./...

.PHONY: fmt
fmt: ## Format the code
	$(TOOL) gofumpt -w .

.PHONY: fmt-check
fmt-check: ## Name the files that are not formatted, and fail if there are any
	@files=$$($(TOOL) gofumpt -l .) || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted (run make fmt):"; echo "$$files"; exit 1; fi

.PHONY: lint
lint: ## Run the linters
	$(TOOL) golangci-lint run --allow-parallel-runners ./...

.PHONY: monitoring
monitoring: ## Hold the rules and dashboards in deploy/ against the metrics, with Prometheus's own parser
	cd tools/monitoring && $(GO) test -count=1 ./...

.PHONY: kubernetes
kubernetes: ## Print deploy/kubernetes as kustomize makes it
	@cd tools/kubernetes && $(GO) tool kustomize build ../../deploy/kubernetes

.PHONY: properties
properties: ## Run the property tests with CHECKS (1000) cases each; make test has 100
	@for dir in $$(grep -rl --include='*_test.go' 'rapid\.Check(' cmd functions internal | xargs -n 1 dirname | sort -u); do \
		tests=$$(awk '/^func Test/ { sub(/\(.*/, "", $$2); name = $$2 } /rapid\.Check\(/ { print name }' $$dir/*_test.go | sort -u | paste -s -d '|' -); \
		$(GO) test -count 1 -run "^($$tests)\$$" ./$$dir -rapid.checks=$(CHECKS) || exit 1; \
	done

# A package is built once for all its targets, which `go test -fuzz` does not do: it
# takes one target at a time, and links anew for each.
.PHONY: fuzz
fuzz: ## Run each fuzz target with FUZZTIME (5000x) inputs
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' cmd functions internal verify | xargs -n 1 dirname | sort -u); do \
		$(GO) test -c -fuzz . -o build/fuzz.test ./$$dir || exit 1; \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go); do \
			echo "== $$dir $$target"; \
			(cd $$dir && timeout 10m "$(CURDIR)/build/fuzz.test" -test.run '^$$' -test.fuzz "^$$target\$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 10x \
				-test.fuzzcachedir "$$($(GO) env GOCACHE)/fuzz/posthorn/$$dir") || exit 1; \
		done; \
	done

.PHONY: console-check
console-check: ## Fail when what is embedded of the console is not what its sources make
	@cd tools/console && $(GO) run . -check ../../internal/console

.PHONY: browser-test
browser-test: bin/posthorn ## Try the console and the reference in Chromium, some two minutes; ROWS=100000 has that many events there already, AXE=FILE asks axe-core
	@cd tools/browser && $(GO) vet ./... && $(GO) test -count=1 -timeout 5m -args -posthorn ../../bin/posthorn -pictures ../../build/screenshots -rows $(ROWS) $(if $(AXE),-axe $(abspath $(AXE)))

.PHONY: receivers
receivers: ## Run the receivers of docs/receiving.md against a running Posthorn; needs Python 3 and Node
	$(GO) test -count 1 ./internal/docstest -run TestTheReceiversWorkAsPrinted -args -receivers go,python,js

.PHONY: sam-local
sam-local: ## Try the functions in Lambda's own image, with Docker and sam; ARGS=serve keeps the API running
	@deploy/sam-local.sh $(or $(ARGS),check)

.PHONY: ci
ci: ## Run everything that has to be green before a merge
	.ci/run

##@ Against other stand-ins for AWS

.PHONY: oracles
oracles: bin/posthorn ## Fetch DynamoDB Local, LocalStack and the AWS command line, once; needs Java, Maven and Python 3.13
	oracles/install

.PHONY: conformance
conformance: oracles ## Ask the local default, DynamoDB Local and LocalStack the same, and print how each answers
	@mkdir -p build
	oracles/with oracles/conformance build/conformance.txt
	@grep '^[a-z-]*: [0-9]' build/conformance.txt && echo "each check, and each exception with its source: build/conformance.txt"

.PHONY: oracle-e2e
oracle-e2e: oracles ## Tell STORIES on LocalStack, and with DynamoDB Local behind DynamoDB
	oracles/with $(MAKE) --no-print-directory localstack-test

.PHONY: localstack-up
localstack-up: ## Start LocalStack in Docker
	docker run -d --rm --name posthorn-localstack -p 127.0.0.1:4566:4566 -v /var/run/docker.sock:/var/run/docker.sock \
		-e CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES=1 localstack/localstack:$(LOCALSTACK_VERSION)
	@until curl -sf -o /dev/null $(LOCALSTACK_URL)/_localstack/health; do sleep 1; done; echo "LocalStack $(LOCALSTACK_VERSION) is at $(LOCALSTACK_URL)"

.PHONY: localstack-deploy
localstack-deploy: ## Deploy the functions and all else to it; needs samlocal
	LAMBDA_GOARCH=$(shell $(GO) env GOARCH) samlocal build
	AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test samlocal deploy --no-confirm-changeset --parameter-overrides \
		Architecture=$(if $(filter amd64,$(shell $(GO) env GOARCH)),x86_64,arm64) PointInTimeRecovery=false

.PHONY: localstack-test
localstack-test: ## Tell STORIES on the LocalStack at LOCALSTACK_URL (http://localhost:4566)
	$(GO) test -count=1 -parallel 4 -timeout 5m ./internal/e2e -run '^($(STORIES))$$' -args \
		-localstack $(LOCALSTACK_URL) $(if $(DYNAMODB_LOCAL_URL),-dynamodb-local $(DYNAMODB_LOCAL_URL))

.PHONY: localstack-down
localstack-down: ## Stop it, and forget what it had
	docker stop posthorn-localstack

##@ Figures

.PHONY: bench
bench: ## Run the benchmarks; BENCH=Path picks some
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: profile
profile: ## Say where the time and the allocations of the path go, for events one by one and by a hundred
	@mkdir -p build && $(GO) test -c -o build/e2e.test ./internal/e2e && cd internal/e2e && for path in Path PathOfBatches; do \
		GOGC=200 ../../build/e2e.test -test.run '^$$' -test.bench "^Benchmark$$path\$$" -test.benchtime $(EVENTS)x \
			-test.cpuprofile ../../build/$$path.cpu -test.memprofile ../../build/$$path.mem -test.memprofilerate 16384 | grep '^Benchmark'; \
		$(GO) tool pprof -traces -unit us ../../build/e2e.test ../../build/$$path.cpu 2>/dev/null | awk -v n=$(EVENTS) -v scale=1 -v unit=µs -f ../../bench/profile.awk; \
		$(GO) tool pprof -traces -sample_index alloc_objects ../../build/e2e.test ../../build/$$path.mem 2>/dev/null | awk -v n=$(EVENTS) -v scale=1 -v unit=allocations -f ../../bench/profile.awk; \
	done

.PHONY: bench-compare
bench-compare: ## Measure the steps of the path, a minute, and compare them with bench/steps.txt, which has those of before
	@mkdir -p build && $(MEASURE_STEPS) >build/steps.txt || { cat build/steps.txt; exit 1; }
	@$(TOOL) benchstat kept=bench/steps.txt now=build/steps.txt

.PHONY: bench-keep
bench-keep: ## Measure them, and keep the figures in bench/steps.txt for the next comparison
	@mkdir -p build && $(MEASURE_STEPS) >build/steps.txt || { cat build/steps.txt; exit 1; }
	@cp build/steps.txt bench/steps.txt && $(TOOL) benchstat bench/steps.txt

.PHONY: bench-replicas
bench-replicas: ## Measure what 1, 2 and 4 replicas of posthorn serve deliver a second to slow receivers
	$(GO) test -run '^$$' -bench '^BenchmarkReplicas$$' -benchtime 1x ./internal/e2e

.PHONY: load
load: bin/posthorn bin/loadtest ## Measure a fresh local Posthorn under load; ARGS="run --rate 500" chooses the run
	@dir=$$(mktemp -d); \
	bin/posthorn local --port 18000 --aws-port 14566 --data "$$dir/data" >"$$dir/log" 2>&1 & pid=$$!; \
	trap 'kill $$pid 2>/dev/null; wait $$pid; rm -rf "$$dir"' EXIT; \
	until grep -q 18000 "$$dir/log"; do \
		kill -0 $$pid 2>/dev/null || { cat "$$dir/log"; exit 1; }; sleep 0.1; \
	done; \
	POSTHORN_URL=http://127.0.0.1:18000 bin/loadtest $(or $(ARGS),suite)

.PHONY: chaos
chaos: ## Break everything around the functions while they deliver, some minutes; ARGS="middle" is smaller, ARGS="-seed 7" chooses
	@$(GO) run $(BUILD_FLAGS) ./cmd/chaos $(ARGS)

.PHONY: cost
cost: ## Measure what a million deliveries cost in an account, some minutes, and fail over a budget; ARGS='-only "10 events"' measures some
	@$(GO) run ./cmd/cost $(or $(ARGS),-write docs/cost.md)

.PHONY: memory
memory: ## Measure how long the functions take with how much memory; needs Linux's control groups, and the right to make them
	@$(GO) run ./cmd/cost -memory

.PHONY: simulate
simulate: ## Simulate days of 10,000 endpoints of whom a tenth hangs, some minutes, and draw them; ARGS="-duration 2h" is shorter
	@$(GO) run ./cmd/simulate $(or $(ARGS),-plot docs/images/scale.svg)

.PHONY: bench-stores
bench-stores: ## Measure the embedded stores that were considered, a minute; ARGS="-time 20s" measures longer
	@cd bench/stores && $(GO) run . $(ARGS)

.PHONY: size
size: ## Print the size of each function and of the program, and how long each takes to start, and fail over 12 MiB, 24.6 MB and 10 ms
	@for arch in arm64 amd64; do \
		check() { \
			bytes=$$(wc -c <$$2); \
			awk -v n=$$bytes -v what="$$arch $$1" 'BEGIN { printf "%-18s %6.2f MiB\n", what, n / 1048576 }'; \
			if [ $$bytes -gt $$3 ]; then echo "over $$3 bytes: $$2"; exit 1; fi; \
		}; \
		for name in $(FUNCTIONS); do \
			GOOS=linux GOARCH=$$arch $(GO) build $(FUNCTION_FLAGS) -o build/$$arch/$$name/bootstrap ./functions/$$name || exit 1; \
			check $$name build/$$arch/$$name/bootstrap $(MAX_BOOTSTRAP); \
		done; \
		GOOS=linux GOARCH=$$arch $(GO) build $(PROGRAM_FLAGS) -o build/$$arch/posthorn ./cmd/posthorn || exit 1; \
		check posthorn build/$$arch/posthorn $(MAX_PROGRAM); \
	done
	@arch=$$($(GO) env GOARCH); for name in $(FUNCTIONS); do \
		GOOS=linux GOARCH=$$arch $(GO) build $(FUNCTION_FLAGS) -o build/$$arch/$$name/bootstrap ./functions/$$name || exit 1; \
		mkdir -p build/$$arch/$$name/config && cp config/*.yaml build/$$arch/$$name/config/; \
	done; \
	$(GO) run ./cmd/startup $(FUNCTIONS:%=build/$$arch/%/bootstrap)

##@ Releases

RELEASE_PLATFORMS := linux_amd64 linux_arm64 darwin_amd64 darwin_arm64
RELEASE_VERSION := $(or $(VERSION),$(SOURCE_VERSION))

.PHONY: release
release: ## Build what a release has into dist/: the functions' zips, the program for each platform, an SBOM, checksums; VERSION names it
	@rm -rf dist && mkdir -p dist build/release
	@$(GO) build -trimpath -buildvcs=false -o build/release/pack ./cmd/pack
	@set -e; for platform in $(RELEASE_PLATFORMS); do \
		os=$${platform%_*}; arch=$${platform#*_}; dir=build/release/$$platform; mkdir -p $$dir; \
		echo "posthorn $(RELEASE_VERSION) $$platform"; \
		GOOS=$$os GOARCH=$$arch $(GO) build $(PROGRAM_FLAGS) -o $$dir/posthorn ./cmd/posthorn; \
		build/release/pack dist/posthorn_$(RELEASE_VERSION)_$$platform.tar.gz posthorn=$$dir/posthorn LICENSE=LICENSE README.md=README.md CHANGELOG.md=CHANGELOG.md; \
		if [ $$os = linux ]; then for name in $(FUNCTIONS); do \
			GOOS=linux GOARCH=$$arch $(GO) build $(FUNCTION_FLAGS) -o $$dir/$$name ./functions/$$name; \
			build/release/pack dist/$${name}_$(RELEASE_VERSION)_$$arch.zip bootstrap=$$dir/$$name $(foreach f,$(notdir $(wildcard config/*.yaml)),config/$(f)=config/$(f)); \
		done; fi; \
	done
	@$(GO) build -modfile=tools/go.mod -trimpath -buildvcs=false -o build/release/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	@build/release/cyclonedx-gomod bin -json -noserial -notimestamp -version v$(RELEASE_VERSION) -output dist/posthorn_$(RELEASE_VERSION)_sbom.cdx.json build/release/linux_amd64/posthorn 2>build/release/sbom.log || { cat build/release/sbom.log; exit 1; }
	@build/release/pack sums dist && cat dist/SHA256SUMS

.PHONY: release-check
release-check: ## Build a release twice, in two other folders, and compare every byte
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && set -e && mkdir -p $$dir/one $$dir/two; \
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp -P --parents -t $$dir/one; \
	cp -R $$dir/one $$dir/two/deeper; \
	for copy in one two/deeper; do \
		$(MAKE) --no-print-directory -C $$dir/$$copy release VERSION=$(RELEASE_VERSION) >$$dir/log 2>&1 || { cat $$dir/log; exit 1; }; \
	done; \
	diff -r $$dir/one/dist $$dir/two/deeper/dist && cat $$dir/one/dist/SHA256SUMS && echo "two builds, the same bytes"

# What a container image holds, for Dockerfile: the program, certificates, the
# configuration and a folder for data. CERTIFICATES is a file of this machine's.
CERTIFICATES ?= /etc/ssl/certs/ca-certificates.crt
.PHONY: image-root
image-root:
	@rm -rf build/image && mkdir -p build/image/root/etc/ssl/certs build/image/root/config build/image/data
	GOOS=linux $(GO) build $(PROGRAM_FLAGS) -o build/image/root/posthorn ./cmd/posthorn
	@cp $(CERTIFICATES) build/image/root/etc/ssl/certs/ca-certificates.crt && cp config/*.yaml build/image/root/config/

##@ Housekeeping

.PHONY: clean
clean: ## Remove what was built; the data in .posthorn/ stays
	rm -rf bin build dist .aws-sam

# What `sam build` packages, through functions/Makefile.
.PHONY: $(FUNCTIONS:%=package-%)
$(FUNCTIONS:%=package-%): package-%:
	GOOS=linux GOARCH=$(GOARCH) $(GO) build $(FUNCTION_FLAGS) -o "$(ARTIFACTS_DIR)/bootstrap" ./functions/$*
	mkdir -p "$(ARTIFACTS_DIR)/config"
	cp config/*.yaml "$(ARTIFACTS_DIR)/config/"
