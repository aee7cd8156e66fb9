package invoke

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestRequestLineIsByteExact(t *testing.T) {
	object := Config{Kind: Service, BaseURL: "http://h.test/", Service: "Cart", Handler: "add", Type: "object", NullKey: "empty", InvalidKey: "base64url"}
	based := object
	based.BaseURL, based.Service, based.Type = "http://h.test:8080/restate%2Fv1/?tenant=a b", "my.Cart/x", "workflow"
	service := object
	service.Type = "service"
	template := func(s string) Config { return Config{URLTemplate: s, NullKey: "empty"} }
	for _, tt := range []struct {
		cfg  Config
		key  string
		want string
	}{
		{template("http://h.test"), "", "/"},
		{template("http://h.test?a=b"), "", "/?a=b"},
		{template("HTTP://h.test/a/../b//c/./%2F"), "", "/a/../b//c/./%2F"},
		{template("http://h.test/ü x\"(it's)*[1]"), "", "/%C3%BC%20x%22(it's)*[1]"},
		{template("http://h.test/{key}"), "plain-._~", "/plain-._~"},
		{template("http://h.test/{key}"), "a/b", "/a%2Fb"},
		{template("http://h.test/{key}"), "a b?c#d%2F", "/a%20b%3Fc%23d%252F"},
		{template("http://h.test/{key}"), "a+b&c=d;e:f@g!$'()*,", "/a%2Bb%26c%3Dd%3Be%3Af%40g%21%24%27%28%29%2A%2C"},
		{template("http://h.test/{key}"), "grün\x00\xff\r\n", "/gr%C3%BCn%00%FF%0D%0A"},
		{template("http://h.test/{key}/x"), ".", "/%2E/x"},
		{template("http://h.test/{key}/x"), "..", "/%2E%2E/x"},
		{template("http://h.test/.{key}/x"), ".", "/.%2E/x"},
		{template("http://h.test/{key}/x"), "..a", "/..a/x"},
		{template("http://h.test/a/{key}/x"), "", "/a//x"},
		{template("http://h.test//{key}"), "k", "//k"},
		{template("http://h.test/{topic}/{partition}/{offset}?k={key}&o={offset}"), "a&b", "/orders/3/42?k=a%26b&o=42"},
		{object, "user 1", "/Cart/user%201/add"},
		{object, "a/b", "/Cart/a%2Fb/add"},
		{object, "..", "/Cart/%2E%2E/add"},
		{object, "", "/Cart//add"},
		{object, "\xff\xfe", "/Cart/__4%3D/add"},
		{service, "k", "/Cart/add"},
		{based, "k", "/restate%2Fv1/my.Cart%2Fx/k/add?tenant=a%20b"},
	} {
		r := rec()
		r.Key = []byte(tt.key)
		head, _ := capture(t, tt.cfg, r)
		if got := requestLine(head); got != "POST "+tt.want+" HTTP/1.1" {
			t.Errorf("%s%s %q:\ngot  %q\nwant %q", tt.cfg.URLTemplate, tt.cfg.BaseURL, tt.key, got, tt.want)
		}
	}
}

func TestNullKeyMayBeAnEmptySegment(t *testing.T) {
	r := rec()
	r.Key = nil
	head, _ := capture(t, Config{URLTemplate: "http://h.test/a/{key}/b", NullKey: "empty"}, r)
	if got := requestLine(head); got != "POST /a//b HTTP/1.1" {
		t.Error(got)
	}
	if headerLines(head)["kafka.key"] != nil {
		t.Error("a null key has a header")
	}
}

func TestBadSinksAreRefusedWithoutBeingQuoted(t *testing.T) {
	for _, s := range []string{
		"", "h.test/s3cret", "ftp://h/s3cret", "http://", "http:///s3cret", "http://u:s3cret@h/", "http://h/#s3cret", "http://h:s3cret/", "http://h/{s3cret}",
		"http://h/{key", "http://h/s3cret}", "http://{key}/s3cret", "http://h/%s3", "http://h/?a={s3cret}", "http://h s3cret/", "http://[s3cret/",
	} {
		_, err := New(Config{URLTemplate: s, Timeout: 1})
		if err == nil {
			t.Errorf("%q was taken", s)
		} else if strings.Contains(err.Error(), "s3") {
			t.Errorf("%q is quoted: %v", s, err)
		}
	}
	for _, c := range []Config{
		{Kind: Service, BaseURL: "http://h"}, {Kind: Service, BaseURL: "http://h/{key}", Service: "s", Handler: "h"}, {Kind: Service, Service: "s", Handler: "h"},
		{URLTemplate: "http://h", Format: "xml"}, {URLTemplate: "http://h", NullKey: "x"}, {URLTemplate: "http://h", HeaderStyle: "x"},
		{URLTemplate: "http://h", InvalidKey: "x"}, {URLTemplate: "http://h", Tombstones: "x"}, {URLTemplate: "http://h", Type: "x"},
		{URLTemplate: "http://h", ContentType: "a\nb"},
		{URLTemplate: "http://h", Headers: []Header{{"a b", "s3cret"}}}, {URLTemplate: "http://h", Headers: []Header{{"a", "s3cret\n"}}},
		{URLTemplate: "http://h", Headers: []Header{{"Idempotency-Key", "s3cret"}}}, {URLTemplate: "http://h", Headers: []Header{{"Content-Length", "s3cret"}}},
		{URLTemplate: "http://h", Headers: []Header{{"Kafka.Topic", "s3cret"}}}, {URLTemplate: "http://h", Headers: []Header{{"Transfer-Encoding", "s3cret"}}},
		{URLTemplate: "http://h", TLSCA: PEM{Value: "s3cret"}}, {URLTemplate: "http://h", TLSCert: PEM{Value: "s3cret"}},
		{URLTemplate: "http://h", TLSCert: PEM{Value: "s3cret"}, TLSKey: PEM{Value: "s3cret"}},
		{URLTemplate: "http://h", TLSCA: PEM{File: "/does/not/exist"}},
	} {
		c.Timeout = 1
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a secret is quoted: %v", err)
		}
	}
	if _, err := New(Config{URLTemplate: "http://h"}); err == nil {
		t.Error("no timeout was taken")
	}
}

// FuzzKeySegment: every key is one segment of the path, decodes to itself, and is never a dot segment.
func FuzzKeySegment(f *testing.F) {
	for _, s := range []string{"", ".", "..", "...", "a/b", "%2e%2e", "grün", "\xff", "a?b#c", "\r\n"} {
		f.Add([]byte(s))
	}
	i := newInvoker(f, Config{URLTemplate: "http://h.test/a/{key}/b?k={key}"})
	f.Fuzz(func(t *testing.T, key []byte) {
		r := rec()
		r.Key = key
		u := i.target.Get(time.Time{}).fill(r, "orders", false)
		uri := u.RequestURI()
		segment, query, _ := strings.Cut(strings.TrimPrefix(uri, "/a/"), "/b?k=")
		if strings.ContainsAny(segment, "/?# \r\n") || segment == "." || segment == ".." || segment != query {
			t.Fatalf("%q: %q", key, uri)
		}
		for _, unescape := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
			if back, err := unescape(segment); err != nil || back != string(key) {
				t.Fatalf("%q reads as %q: %v", key, back, err)
			}
		}
		utf8URI := i.target.Get(time.Time{}).fill(r, "orders", true).RequestURI()
		if utf8.Valid(key) != (utf8URI == uri) {
			t.Fatalf("%q: %q, %q", key, uri, utf8URI)
		}
	})
}
