# One line each; .ci/run is what must pass before a change goes in.
LINT = go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint run
TIME ?= 10m
FUZZTIME ?= 60s

.PHONY: build test lint race demo bench failover bigdata nemesis faults clients conformance nightly soak scenarios mutants fuzz ci
build: ; CGO_ENABLED=0 go build ./cmd/tutti
test: ; go test ./...
lint: ; $(LINT) ./... && (cd bench && $(LINT) ./...) && cd e2e && $(LINT) ./...
race: ; .ci/race
demo: ; go run ./cmd/tutti demo
bench: ; cd bench && go run .
failover: ; cd bench && go run . failover --kills 100
bigdata: ; cd bench && go run . bigdata
nemesis: ; cd bench && go run . nemesis --minutes 10
clients: ; cd e2e/clients && go run . -update
faults: ; cd bench && go run . faults
conformance: ; conformance/run
soak: ; TUTTI_SOAK=$(TIME) go test -count=1 -timeout=0 -run "^TestSoak$$" -v ./internal/proof/sim
scenarios: ; go run ./internal/proof/run -scenarios -only '$(ONLY)'
mutants: ; go run ./internal/proof/run -mutants -only '$(ONLY)'
fuzz: ; .ci/fuzz $(FUZZTIME)
nightly: ; .ci/nightly
ci: ; .ci/run
