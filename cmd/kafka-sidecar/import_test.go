package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImportTakesItsTokenFromTheEnvironmentOnly(t *testing.T) {
	var token string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("Authorization")
		if r.URL.Path == "/subscriptions" {
			_, _ = w.Write([]byte(`{"subscriptions":[]}`))
			return
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for environ, want := range map[string]string{"": "", "RESTATE_AUTH_TOKEN=here": "Bearer here", "RESTATE_AUTH_TOKEN_FILE=" + file: "Bearer from-file"} {
		stdout, stderr, code := command([]string{environ}, "import-restate", srv.URL)
		if code != exitOK || token != want || !strings.Contains(stdout, "no subscriptions") {
			t.Errorf("%s: exit %d, authorization %q, want %q\n%s%s", environ, code, token, want, stdout, stderr)
		}
	}
	_, stderr, code := command([]string{"RESTATE_AUTH_TOKEN=here", "RESTATE_AUTH_TOKEN_FILE=" + file}, "import-restate", srv.URL)
	if code != exitConfig || !strings.Contains(stderr, "not both") {
		t.Errorf("both: exit %d\n%s", code, stderr)
	}
	_, stderr, code = command([]string{"RESTATE_AUTH_TOKEN_FILE=s3cret"}, "import-restate", srv.URL)
	if code != exitConfig || strings.Contains(stderr, "s3cret") {
		t.Errorf("a token in place of a file: exit %d\n%s", code, stderr)
	}
}

func TestImportSaysWhatIsWrongWithoutRepeatingTheAddress(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
	}{
		{nil, exitConfig},
		{[]string{"--help"}, exitConfig},
		{[]string{"localhost:9070"}, exitConfig},
		{[]string{"http://user:s3cret@localhost:9070"}, exitConfig},
		{[]string{"http://localhost:9070/?token=s3cret"}, exitConfig},
		{[]string{"http://127.0.0.1:1/s3cret"}, exitFailure},
	} {
		_, stderr, code := command(nil, append([]string{"import-restate"}, c.args...)...)
		if code != c.code || stderr == "" || strings.Contains(stderr, "s3cret") {
			t.Errorf("%v: exit %d, want %d\n%s", c.args, code, c.code, stderr)
		}
	}
}
