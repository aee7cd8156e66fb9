package invoke

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what Retry-After gives, so that sums and factors of it do not overflow. No wait is that long; the scheduler has its own maximum.
const maxRetryAfter = 10 * 365 * 24 * time.Hour

// parseRetryAfter reads Retry-After (RFC 9110 §10.2.3): seconds, or a date in any of the three HTTP forms, of which one in the past means 0.
// ok is false when there is none or it is neither.
func parseRetryAfter(values []string, now time.Time) (wait time.Duration, ok bool) {
	if len(values) == 0 {
		return 0, false
	}
	v := strings.TrimSpace(values[0])
	if isDigits(v) {
		seconds, err := strconv.ParseInt(v, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) { // the one error left is that of too many digits
			return maxRetryAfter, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	return min(max(date.Sub(now), 0), maxRetryAfter), true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
