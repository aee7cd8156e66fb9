package envconfig

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The types below read one variable each. Their errors are the texts that users see; the values are harmless and are quoted.

type (
	duration    time.Duration // above zero
	maxAge      time.Duration // above zero, or unlimited as 0
	size        int64         // bytes, above zero
	count       int           // above zero
	maxAttempts int           // above zero, or unlimited as 0
	failures    int           // above zero, or off as 0
	factor      float64       // 1 and above
	rate        float64       // attempts a second, above zero
	toggle      bool
)

// maxShown bounds how much of a harmless value a message repeats.
const maxShown = 60

func quote(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return strconv.Quote(text)
}

func unlike(text []byte, want string) error {
	return fmt.Errorf("%s is not valid; want %s", quote(string(text)), want)
}

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return unlike(text, "a duration above zero, like 500ms, 20s or 1m30s")
	}
	*d = duration(v)
	return nil
}

func (a *maxAge) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*a = 0
		return nil
	}
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return unlike(text, "a duration above zero, like 24h, or unlimited")
	}
	*a = maxAge(v)
	return nil
}

// units are the suffixes of a size; the longest that fits counts.
var units = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// maxSize is far above any memory this process should be given, and far below where sums of sizes overflow.
const maxSize = 1 << 40

func (s *size) UnmarshalText(text []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n == 0 || n > maxSize/uint64(u.bytes) {
			break
		}
		*s = size(int64(n) * u.bytes)
		return nil
	}
	return unlike(text, "a size above zero and up to 1024GiB, like 64MiB or 65536")
}

func (c *count) UnmarshalText(text []byte) error {
	n, err := wholeNumber(text)
	if err != nil {
		return unlike(text, "a whole number from 1 to 2147483647")
	}
	*c = count(n)
	return nil
}

func (m *maxAttempts) UnmarshalText(text []byte) error {
	n, err := wholeNumber(text)
	if string(text) != "unlimited" && err != nil {
		return unlike(text, "a whole number from 1 to 2147483647, or unlimited")
	}
	*m = maxAttempts(n)
	return nil
}

func (f *failures) UnmarshalText(text []byte) error {
	n, err := wholeNumber(text)
	if string(text) != "off" && err != nil {
		return unlike(text, "a whole number from 1 to 2147483647, or off")
	}
	*f = failures(n)
	return nil
}

// wholeNumber reads a number from 1 to 2147483647 and gives 0 for anything else.
func wholeNumber(text []byte) (int, error) {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

func (f *factor) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v >= 1 && v <= 100) {
		return unlike(text, "a number from 1 to 100, like 2 or 1.5")
	}
	*f = factor(v)
	return nil
}

func (r *rate) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "/s")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v > 0) || math.IsInf(v, 0) {
		return unlike(text, "attempts a second, like 100/s or 0.5/s")
	}
	*r = rate(v)
	return nil
}

func (f *toggle) UnmarshalText(text []byte) error {
	switch string(text) {
	case "true":
		*f = true
	case "false":
		*f = false
	default:
		return unlike(text, "true or false")
	}
	return nil
}
