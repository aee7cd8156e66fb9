package invoke

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestNothingIsSentThatMayNotBeSent(t *testing.T) {
	for name, warm := range map[string]bool{"over an open connection": true, "over a new connection": false} {
		t.Run(name, func(t *testing.T) {
			var may atomic.Bool
			var calls atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				calls.Add(1)
			})
			i := newInvoker(t, Config{URLTemplate: s.URL, MaySend: func(time.Time) bool { return may.Load() }})
			if warm {
				may.Store(true)
				if r := i.Attempt(t.Context(), rec(), 1); r.Class != Done {
					t.Fatalf("%+v", r)
				}
			}
			may.Store(false)
			before := calls.Load()
			for _, size := range []int{0, 7, 1 << 20} {
				one := rec()
				one.Value = []byte(strings.Repeat("x", size))
				r := i.Attempt(t.Context(), one, 1)
				if r.Class != Cancelled || r.Code != codeCancelled || r.Gateway || r.TimedOut {
					t.Errorf("%d bytes: %+v", size, r)
				}
			}
			if n := calls.Load() - before; n != 0 {
				t.Errorf("%d requests were sent that might not be", n)
			}
			may.Store(true)
			if r := i.Attempt(t.Context(), rec(), 1); r.Class != Done {
				t.Errorf("once it may be sent again: %+v", r)
			}
		})
	}
}
