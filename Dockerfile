# The image: one static binary, CA certificates and nothing else. Both bases are arguments, so that a build can bring its own.
ARG GO_IMAGE=golang:1.26
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian13:nonroot

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY cmd cmd
COPY envconfig envconfig
COPY sidecar sidecar
ARG TARGETOS TARGETARCH VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/cache \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOCACHE=/cache \
    go build -trimpath -tags lambda.norpc -ldflags "-s -w -X main.version=$VERSION" -o /kafka-sidecar ./cmd/kafka-sidecar

FROM ${RUNTIME_IMAGE}
ARG VERSION=dev
LABEL org.opencontainers.image.title="kafka-sidecar" \
      org.opencontainers.image.description="One container, one Kafka subscription: consumes a topic and calls a handler, with retries, keyed ordering and no loss" \
      org.opencontainers.image.source="https://github.com/kafka-sidecar/kafka-sidecar" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /kafka-sidecar /kafka-sidecar
# A number: Kubernetes' runAsNonRoot cannot judge a name.
USER 65532:65532
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["/kafka-sidecar", "healthcheck"]
ENTRYPOINT ["/kafka-sidecar"]
