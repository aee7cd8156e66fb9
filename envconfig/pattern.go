package envconfig

import "regexp"

// pattern is what names of a kind look like, and how many bytes they may have.
type pattern struct {
	longest int
	form    *regexp.Regexp
}

// upTo makes a pattern. The bound is not part of the expression, since {1,255} becomes 255 copies of what it repeats: a quarter of a MiB that
// the process would hold for as long as it lives.
func upTo(longest int, form string) pattern {
	return pattern{longest: longest, form: regexp.MustCompile(form)}
}

func (p pattern) MatchString(name string) bool {
	return len(name) <= p.longest && p.form.MatchString(name)
}
