package envconfig

import (
	"os"
	"strings"
	"testing"
)

func TestURLsFromFilesAreReadAgain(t *testing.T) {
	sink := func(c *Config) (bool, func() (Secret, error)) {
		return c.Subscription.Sink.Reloads(), c.Subscription.Sink.LoadURL
	}
	deadLetter := func(c *Config) (bool, func() (Secret, error)) { return true, c.DeadLetter.LoadURL }
	whole := func(url string) string { return `{"source":"kafka://c/t","sink":"` + url + `"}` }
	for name, form := range map[string]struct {
		text func(url string) string
		env  func(path string) []string
		of   func(*Config) (bool, func() (Secret, error))
	}{
		"a sink": {strings.Clone, func(path string) []string { return with("SUBSCRIPTION_SINK=", "SUBSCRIPTION_SINK_FILE="+path) }, sink},
		"a subscription": {whole, func(path string) []string {
			return with("SUBSCRIPTION_SOURCE=", "SUBSCRIPTION_SINK=", "SUBSCRIPTION_FILE="+path)
		}, sink},
		"for the failed": {strings.Clone, func(path string) []string { return with("DEAD_LETTER_URL_FILE=" + path) }, deadLetter},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "url", form.text("https://h.example/x?code=old")+"\n")
			reloads, load := form.of(mustParse(t, form.env(path)...))
			if !reloads {
				t.Error("the URL should be read again")
			}
			rotate(t, path, form.text("https://h.example/x?code=new")+"\n", load, "https://h.example/x?code=old", "https://h.example/x?code=new")
			for _, other := range []string{
				"https://h.example/y?code=new", "http://h.example/x?code=new", "https://h.example/x?code={key}", "https://h.example/x?code=new#s3cret",
				"https://u:s3cret@h.example/x?code=new", "",
			} {
				if err := os.WriteFile(path, []byte(form.text(other)), 0o600); err != nil {
					t.Fatal(err)
				}
				if url, err := load(); err == nil || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%s: got %q, %v", other, url.Reveal(), err)
				}
			}
		})
	}
	if cfg := mustParse(t, smallest...); cfg.Subscription.Sink.Reloads() {
		t.Error("a URL by value should not be read again")
	}
}
