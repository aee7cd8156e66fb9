package deadletter

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/record"
)

// Poster sends one record to the configured URL: its raw value, the headers that every request of ours has, and the facts as headers beside
// them. It makes one request, returns nil for a 2xx and otherwise an error that names neither URL nor record.
type Poster interface {
	Post(ctx context.Context, rec *record.Record, facts []Fact) error
	// Check says what would keep every Post from being made. It sends nothing to the URL.
	Check(ctx context.Context) error
	// Close ends the connections that wait for a further Post.
	Close()
}

// URL is a dead-letter target behind HTTP.
type URL struct{ poster Poster }

var _ Target = (*URL)(nil)

// NewURL makes a target of a Poster.
func NewURL(p Poster) *URL { return &URL{p} }

// Check looks no further than what a request needs: only a request would tell more, and it would be taken for a letter.
func (u *URL) Check(ctx context.Context) error { return u.poster.Check(ctx) }

// Write posts the letter, once.
func (u *URL) Write(ctx context.Context, l Letter) error {
	source, _ := l.source()
	facts := append(source, l.failure()...)
	for i, f := range facts {
		facts[i] = Fact{Name: strings.ReplaceAll(f.Name, ".", "-"), Value: escape(f.Value)}
	}
	return u.poster.Post(ctx, l.Record, append(facts, Fact{headerAttempt, strconv.Itoa(l.Write)}))
}

// Close ends the idle connections.
func (u *URL) Close() { u.poster.Close() }

// escape percent-encodes what a header cannot hold. Our own facts need none; a redriven record's were written by somebody else.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
