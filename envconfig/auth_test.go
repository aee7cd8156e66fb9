package envconfig

import (
	"fmt"
	"strings"
	"testing"
)

func TestFunctionIsTakenVerbatimInEveryFormOfItsName(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:123456789012:function:f"
	for sink, want := range map[string]Lambda{
		"f":                         {Function: "f", Region: "us-east-1", Endpoint: "https://lambda.us-east-1.amazonaws.com"},
		"f:live":                    {Function: "f", Qualifier: "live", Region: "us-east-1", Endpoint: "https://lambda.us-east-1.amazonaws.com"},
		"f:$LATEST":                 {Function: "f", Qualifier: "$LATEST", Region: "us-east-1", Endpoint: "https://lambda.us-east-1.amazonaws.com"},
		"123456789012:function:f:7": {Function: "123456789012:function:f", Qualifier: "7", Region: "us-east-1", Endpoint: "https://lambda.us-east-1.amazonaws.com"},
		arn:                         {Function: arn, Region: "eu-west-1", Endpoint: "https://lambda.eu-west-1.amazonaws.com"},
		arn + ":live":               {Function: arn, Qualifier: "live", Region: "eu-west-1", Endpoint: "https://lambda.eu-west-1.amazonaws.com"},
		"arn:aws-cn:lambda:cn-north-1:123456789012:function:f":        {Function: "arn:aws-cn:lambda:cn-north-1:123456789012:function:f", Region: "cn-north-1", Endpoint: "https://lambda.cn-north-1.amazonaws.com.cn"},
		"arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f": {Function: "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f", Region: "us-gov-west-1", Endpoint: "https://lambda.us-gov-west-1.amazonaws.com"},
	} {
		cfg := mustParse(t, with("SUBSCRIPTION_SINK=lambda://"+sink, "AWS_REGION=us-east-1", "SUBSCRIPTION_ID=")...)
		if got := cfg.Subscription.Sink; got.Kind != SinkLambda || got.Lambda != want || got.Display != "lambda://"+sink {
			t.Errorf("%s: got %+v, want %+v", sink, got, want)
		}
		if cfg.Handler.Format != FormatLambda || cfg.Delivery.Ordering != "key" || !strings.HasPrefix(cfg.Subscription.ID, "sub_") {
			t.Errorf("%s: format %s, ordering %s, name %s", sink, cfg.Handler.Format, cfg.Delivery.Ordering, cfg.Subscription.ID)
		}
	}
	for _, c := range []struct{ env, want string }{
		{"AWS_ENDPOINT_URL=http://all:1/", "http://all:1"},
		{"AWS_ENDPOINT_URL_LAMBDA=http://one:1/x/", "http://one:1/x"},
	} {
		cfg := mustParse(t, with("SUBSCRIPTION_SINK=lambda://f", "AWS_DEFAULT_REGION=us-east-1", c.env, "HANDLER_FORMAT=value", "HANDLER_HEADERS=a: b")...)
		if got := cfg.Subscription.Sink.Lambda.Endpoint; got != c.want || cfg.Handler.Format != FormatValue {
			t.Errorf("%s: endpoint %s, format %s", c.env, got, cfg.Handler.Format)
		}
		if !strings.Contains(noteTexts(cfg), "WARN HANDLER_HEADERS: has no effect: Lambda passes no headers on to a function") {
			t.Errorf("notes %s", noteTexts(cfg))
		}
	}
}

func TestRegionAndServiceAreReadFromAWSsHosts(t *testing.T) {
	for url, want := range map[string]string{
		"https://abc123.lambda-url.eu-west-1.on.aws/":             "eu-west-1 lambda",
		"https://abc123.execute-api.eu-west-1.amazonaws.com/x":    "eu-west-1 execute-api",
		"https://s-1.7d67968.vpc-lattice-svcs.eu-west-1.on.aws/x": "eu-west-1 vpc-lattice-svcs",
	} {
		cfg := mustParse(t, with("SUBSCRIPTION_SINK="+url+"{key}", "HANDLER_AUTH=sigv4", "AWS_REGION=us-east-1", "DEAD_LETTER_URL="+url, "DEAD_LETTER_AUTH=sigv4", "DEAD_LETTER_SIGV4_REGION=eu-north-1")...)
		if got := fmt.Sprint(cfg.Handler.Auth.Region, " ", cfg.Handler.Auth.Service); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
		if cfg.DeadLetter.Auth.Region != "eu-north-1" {
			t.Errorf("%s: what is set does not count: %s", url, cfg.DeadLetter.Auth.Region)
		}
	}
}

func TestSecretsOverPlainHTTPAreWarnedOf(t *testing.T) {
	const token = "HANDLER_BEARER_TOKEN=t"
	for url, want := range map[string]bool{"http://h.example/x": true, "https://h.example/x": false, "http://127.0.0.1/x": false} {
		cfg := mustParse(t, with("SUBSCRIPTION_SINK="+url, "HANDLER_AUTH=bearer", token)...)
		if got := strings.Contains(noteTexts(cfg), "WARN HANDLER_AUTH: is bearer, and the URL is http://"); got != want {
			t.Errorf("%s: warned %t, want %t", url, got, want)
		}
	}
	cfg := mustParse(t, with("HANDLER_AUTH=signature", "HANDLER_SIGNATURE_SECRETS=c2hvcnQ=")...)
	if !strings.Contains(noteTexts(cfg), "WARN HANDLER_SIGNATURE_SECRETS: entry 1 is shorter than 24 bytes") {
		t.Errorf("notes %s", noteTexts(cfg))
	}
}

func TestSecretsOfAuthenticationComeFromFilesAndShowNowhere(t *testing.T) {
	path := file(t, "token", "hidden\n")
	cfg := mustParse(t, with("HANDLER_AUTH=bearer", "HANDLER_BEARER_TOKEN_FILE="+path, "DEAD_LETTER_URL=https://d/", "DEAD_LETTER_AUTH=basic", "DEAD_LETTER_BASIC_USERNAME=hidden", "DEAD_LETTER_BASIC_PASSWORD=hidden")...)
	if got, err := cfg.Handler.Auth.Token.Load(); err != nil || got.Reveal() != "hidden" || !cfg.Handler.Auth.Token.Reloads() {
		t.Errorf("token %q, %v", got.Reveal(), err)
	}
	if all := fmt.Sprintf("%v %+v %v", cfg.Redacted(), cfg, cfg.Notes); strings.Contains(all, "hidden") {
		t.Errorf("a secret is shown: %s", all)
	}
}
