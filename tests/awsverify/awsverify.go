// Package awsverify checks AWS signatures as AWS does: it makes the signature anew from what arrived and compares.
package awsverify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// maxSkew is how far AWS lets a request's time be off.
const maxSkew = 5 * time.Minute

// Request says what is wrong with the signature of a request that a server got with this body; nil when it is right.
func Request(r *http.Request, body []byte, creds aws.Credentials, region, service string) error {
	sent := r.Header.Get("Authorization")
	_, list, ok := strings.Cut(sent, "SignedHeaders=")
	if !ok {
		return errors.New("the request is not signed")
	}
	list, _, _ = strings.Cut(list, ",")
	names := strings.Split(list, ";")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > maxSkew {
		return fmt.Errorf("X-Amz-Date is %q", r.Header.Get("X-Amz-Date"))
	}
	again := &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}, URL: &url.URL{Scheme: "https", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}}
	for name, values := range r.Header {
		switch lower := strings.ToLower(name); {
		case lower == "content-length":
		case slices.Contains(names, lower):
			again.Header[name] = values
		case strings.HasPrefix(lower, "x-amz-"):
			return fmt.Errorf("%s is not signed", lower) // AWS refuses these
		}
	}
	if again.Header.Del("X-Amz-Date"); slices.Contains(names, "content-length") {
		again.ContentLength = r.ContentLength
	}
	hash := r.Header.Get("X-Amz-Content-Sha256")
	sum := sha256.Sum256(body)
	if real := hex.EncodeToString(sum[:]); hash != real && hash != "UNSIGNED-PAYLOAD" {
		return fmt.Errorf("the body's hash is %s, signed is %q", real, hash)
	}
	if token := r.Header.Get("X-Amz-Security-Token"); token != creds.SessionToken {
		return fmt.Errorf("the session token is %q", token)
	}
	if err := v4.NewSigner().SignHTTP(r.Context(), creds, again, hash, service, region, at); err != nil {
		return err
	}
	if want := again.Header.Get("Authorization"); !bytes.Equal([]byte(want), []byte(sent)) {
		return fmt.Errorf("the signature does not match\ngot  %s\nwant %s", sent, want)
	}
	return nil
}
