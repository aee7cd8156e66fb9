package envconfig

import (
	"reflect"
	"strings"
	"testing"
)

func TestHandlerTypeIsAskedForWhereRestateCanBe(t *testing.T) {
	const admin = "RESTATE_ADMIN_URL=http://restate:9070/"
	for _, tt := range []struct {
		name                    string
		env                     []string
		protocol, kind, url     string // url: whom to ask
		keyed                   bool
		ordering, note, without string
	}{
		{"plain", nil, "http", "service", "", false, "none", "", "RESTATE"},
		{"an Admin API makes it auto", []string{admin}, "http", TypeAuto, "http://restate:9070", false, "", "", "RESTATE"},
		{"both", []string{admin, "HANDLER_PROTOCOL=restate"}, "restate", TypeAuto, "http://restate:9070", false, "", "", "RESTATE"},
		{"auto in words", []string{admin, "HANDLER_TYPE=auto"}, "http", TypeAuto, "http://restate:9070", false, "", "", "RESTATE"},
		{"a type that is said is not asked for", []string{admin, "HANDLER_PROTOCOL=restate", "HANDLER_TYPE=object"}, "restate", "object", "", true, "key", "INFO RESTATE_ADMIN_URL: has no effect: HANDLER_TYPE is object", ""},
		{"what the keys become may matter", []string{admin, "NULL_KEY=empty", "INVALID_KEY=base64url"}, "http", TypeAuto, "http://restate:9070", false, "", "", "_KEY"},
		{"an order that is said stays", []string{admin, "ORDERING=partition"}, "http", TypeAuto, "http://restate:9070", false, "partition", "", ""},
		{"shared", []string{"HANDLER_PROTOCOL=restate", "HANDLER_TYPE=object-shared"}, "restate", "object-shared", "", true, "none", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, with(append(tt.env, "SUBSCRIPTION_SINK=service://Billing/charge", "HANDLER_URL=http://localhost:8080")...)...)
			h := cfg.Handler
			if h.Protocol != tt.protocol || h.Type != tt.kind || h.AdminURL != tt.url || cfg.Subscription.Sink.Keyed != tt.keyed || cfg.Delivery.Ordering != tt.ordering {
				t.Errorf("protocol %q, type %q, asks %q, keyed %t, ordering %q", h.Protocol, h.Type, h.AdminURL, cfg.Subscription.Sink.Keyed, cfg.Delivery.Ordering)
			}
			if notes := noteTexts(cfg); !strings.Contains(notes, tt.note) || tt.without != "" && strings.Contains(notes, tt.without) {
				t.Errorf("notes:\n%s", notes)
			}
		})
	}
	cfg := mustParse(t, with(admin)...)
	if notes := noteTexts(cfg); !strings.Contains(notes, "RESTATE_ADMIN_URL: has no effect: the sink is not service://") || cfg.Handler.AdminURL != "" {
		t.Errorf("another sink asks %q; notes:\n%s", cfg.Handler.AdminURL, notes)
	}
}

// TestResolvedTypeIsAsIfItHadBeenSaid: nothing else may depend on how the type became known.
func TestResolvedTypeIsAsIfItHadBeenSaid(t *testing.T) {
	env := func(more ...string) []string {
		return with(append(more, "SUBSCRIPTION_SINK=service://Billing/charge", "HANDLER_URL=http://localhost:8080", "HANDLER_PROTOCOL=restate")...)
	}
	for _, kind := range []string{"service", "object", "object-shared", "workflow", "workflow-shared"} {
		for _, ordering := range []string{"", "key", "partition", "none"} {
			asked := mustParse(t, env("RESTATE_ADMIN_URL=http://r:9070", "ORDERING="+ordering)...)
			err := asked.ResolveType(kind)
			said, mistake := Parse(env("HANDLER_TYPE="+kind, "ORDERING="+ordering))
			if (err == nil) != (mistake == nil) {
				t.Errorf("%s, ORDERING=%s: asked %v, said %v", kind, ordering, err, mistake)
				continue
			}
			if err != nil {
				if want := "ORDERING: is none, but Restate says that the handler's type is " + kind + ", which needs order; want key or partition"; err.Error() != want {
					t.Errorf("got %q, want %q", err, want)
				}
				continue
			}
			said.Handler.AdminURL = "http://r:9070"
			if !reflect.DeepEqual(asked, said) {
				t.Errorf("%s, ORDERING=%s:\nasked %+v\nsaid  %+v", kind, ordering, asked, said)
			}
		}
	}
}

func TestTLSOfAnAdminAPICountsThoughTheIngressHasNone(t *testing.T) {
	certificate, _, _, _ := identityPEM(t)
	notes := func(more ...string) string {
		return noteTexts(mustParse(t, with(append(more, "HANDLER_TLS_CA="+certificate, "SUBSCRIPTION_SINK=service://Billing/charge", "HANDLER_URL=http://localhost:8080")...)...))
	}
	const none = "HANDLER_TLS_CA: has no effect"
	if got := notes("HANDLER_PROTOCOL=restate", "RESTATE_ADMIN_URL=https://r:9070"); strings.Contains(got, none) {
		t.Errorf("notes:\n%s", got)
	}
	for _, plain := range [][]string{{"HANDLER_PROTOCOL=restate", "RESTATE_ADMIN_URL=http://r:9070"}, {"RESTATE_ADMIN_URL=https://r:9070"}} {
		if got := notes(plain...); !strings.Contains(got, none) {
			t.Errorf("%v: notes:\n%s", plain, got)
		}
	}
}
