package invoke

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/reload"
)

func TestRecordCannotSetAHeaderThatTheUserAddedToTheFile(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	defer server.Close()
	now := time.Unix(0, 0)
	headers := []Header{{"X-First", "mine"}}
	i := newInvoker(t, Config{
		URLTemplate: server.URL, Headers: headers, ForwardHeaders: []string{"*"}, Now: func() time.Time { return now },
		LoadHeaders: func() ([]Header, error) { return headers, nil },
	})
	rec := &record.Record{Value: []byte("v"), Headers: []record.Header{{Name: "x-first", Value: []byte("theirs")}, {Name: "x-api-key", Value: []byte("theirs")}}}
	headers = append(headers, Header{"X-Api-Key", "mine"})
	now = now.Add(2 * reload.Interval)
	if res := i.Attempt(t.Context(), rec, 1); res.Class != Done {
		t.Fatalf("attempt: %v", res.Err)
	}
	for _, name := range []string{"X-First", "X-Api-Key"} {
		if got := seen.Values(name); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("%s is %q, want that of the user alone", name, got)
		}
	}
}

func TestRotatedQueryIsUsedWithoutARestart(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.RequestURI) }))
	defer server.Close()
	now := time.Unix(0, 0)
	code, broken := "first", error(nil)
	template := func() string { return server.URL + "/{key}?code=" + code }
	i, err := New(Config{
		Kind: HTTP, URLTemplate: template(), Timeout: time.Minute, Now: func() time.Time { return now },
		LoadURL: func() (string, error) { return template(), broken },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	attempt := func(want string) {
		t.Helper()
		now = now.Add(2 * reload.Interval)
		if res := i.Attempt(t.Context(), &record.Record{Key: []byte("k"), Value: []byte("v")}, 1); res.Class != Done {
			t.Fatalf("attempt: %v", res.Err)
		}
		if got := seen[len(seen)-1]; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
	attempt("/k?code=first")
	code = "second"
	attempt("/k?code=second")
	code, broken = "third", errors.New("half written")
	attempt("/k?code=second")
	code, broken = "{x}", nil
	attempt("/k?code=second")
	code = "third"
	attempt("/k?code=third")
}
