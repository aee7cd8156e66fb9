# Every task of the project. `make` alone lists them.
.DEFAULT_GOAL := help
GO ?= go

.PHONY: help
help: ## list the tasks
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the binary, static and stripped, as the image holds it
	CGO_ENABLED=0 $(GO) build -trimpath -tags lambda.norpc -ldflags "-s -w" -o kafka-sidecar ./cmd/kafka-sidecar

.PHONY: test
test: ## every test; a real Kafka is used where there is a JDK with Maven
	$(GO) test ./...

.PHONY: race
race: ## the unit tests under the race detector, in random order
	$(GO) test -race -shuffle=on ./cmd/... ./envconfig/... ./sidecar/...

.PHONY: short
short: ## the quick tests: the embedded broker only, small sizes
	$(GO) test -short ./...

.PHONY: long
long: ## every test, with those that take minutes, on a real Kafka
	LONG_TESTS=1 REQUIRE_REAL_KAFKA=1 $(GO) test -timeout 60m ./...

# What a deployment is made of is built and looked at rather than run under load, and that takes longest.
DEPLOYMENT := image|terraform|examples|release

.PHONY: soak
soak: ## everything but `make deployment`, ten times in a row (about an hour); ends with the first run that fails
	@for i in 1 2 3 4 5 6 7 8 9 10; do echo "run $$i"; $(GO) test -p 4 -count=1 -timeout 25m $$($(GO) list ./... | grep -vE '/tests/($(DEPLOYMENT))$$') || exit 1; done

.PHONY: deployment
deployment: ## the image, the Terraform modules, the examples and the release
	$(GO) test -count=1 -timeout 25m $$($(GO) list ./... | grep -E '/tests/($(DEPLOYMENT))$$')

.PHONY: lint
lint: ## formatting, vet and golangci-lint
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	golangci-lint run

.PHONY: generate
generate: ## write the generated reference pages anew
	$(GO) generate ./...

.PHONY: fuzz
fuzz: ## every fuzz target, 30 s each
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for t in $$(grep -oE '^func Fuzz[A-Za-z0-9]+' $$f | cut -d' ' -f2); do \
	    echo "$$f $$t"; $(GO) test -run '^$$' -fuzz "^$$t$$" -fuzztime 30s ./$$(dirname $$f) || exit 1; \
	  done; done

.PHONY: release-check
release-check: ## the workflows, and what a release is made of
	$(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	$(GO) test -count=1 ./tests/release

.PHONY: bench
bench: ## benchmarks of the parts, and of the whole path beside a bare HTTP client
	$(GO) test -run '^$$' -bench . -benchmem ./sidecar/... ./tests/bench/...

.PHONY: quickstart
quickstart: ## the sidecar at work, with nothing but Go
	$(GO) run ./examples/quickstart
