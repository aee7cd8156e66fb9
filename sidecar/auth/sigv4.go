package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/awsauth"
)

// sigV4 signs requests for AWS (Signature Version 4): function URLs, API Gateway, VPC Lattice, and Lambda's own API.
type sigV4 struct {
	chain           *awsauth.Chain
	region, service string
	now             func() time.Time
}

const (
	lattice         = "vpc-lattice-svcs"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	contentHash     = "X-Amz-Content-Sha256"
)

func (s *sigV4) Owns(header string) bool {
	return header == authorization || strings.HasPrefix(header, "x-amz-")
}

// Sign signs method, host, path, query, content type and body. Other headers are left out of the signature: gateways on the way may change
// them, and the path and the body are what counts.
func (s *sigV4) Sign(ctx context.Context, r *http.Request, body []byte, _ string) error {
	creds, err := s.chain.Retrieve(ctx)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if s.service == lattice {
		hash = unsignedPayload // VPC Lattice takes no other
	}
	u := *r.URL // the signer puts the query in order
	signed := &http.Request{Method: r.Method, URL: &u, Host: r.Host, ContentLength: r.ContentLength, Header: http.Header{contentHash: {hash}}}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); lower == "content-type" || strings.HasPrefix(lower, "x-amz-") {
			signed.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if err := v4.NewSigner().SignHTTP(ctx, creds, signed, hash, s.service, s.region, s.now().UTC()); err != nil {
		return fmt.Errorf("sign for AWS: %w", err)
	}
	r.URL = &u
	for name, values := range signed.Header {
		r.Header[strings.ToLower(name)] = values
	}
	return nil
}

func (s *sigV4) Refused(*http.Request) {}

func (s *sigV4) Check(ctx context.Context) error {
	_, err := s.chain.Retrieve(ctx)
	return err
}

func (s *sigV4) Close() { s.chain.Close() }
