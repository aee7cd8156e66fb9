package invoke

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

func TestRotatedHeadersAreUsedWithoutARestart(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("X-Token")) }))
	defer server.Close()
	now := time.Unix(0, 0)
	token, broken := "first", error(nil)
	i, err := New(Config{
		Kind: HTTP, URLTemplate: server.URL, Timeout: time.Minute, Headers: []Header{{"X-Token", "first"}}, Now: func() time.Time { return now },
		LoadHeaders: func() ([]Header, error) { return []Header{{"X-Token", token}}, broken },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	attempt := func(want string) {
		t.Helper()
		now = now.Add(2 * reload.Interval)
		if res := i.Attempt(t.Context(), &record.Record{Value: []byte("v")}, 1); res.Class != Done {
			t.Fatalf("attempt: %v", res.Err)
		}
		if got := seen[len(seen)-1]; got != want {
			t.Errorf("token sent is %q, want %q", got, want)
		}
	}
	attempt("first")
	token = "second"
	attempt("second")
	broken = errors.New("half written")
	attempt("second")
	token, broken = "no\nheader", nil
	attempt("second")
	token = "third"
	attempt("third")
}
