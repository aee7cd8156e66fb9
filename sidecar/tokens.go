package sidecar

import (
	"crypto/x509"
	"log/slog"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/awsauth"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/cluster"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar/oauth"
)

// tokenSource is where the tokens of OAUTHBEARER come from.
func tokenSource(o *envconfig.OAuth, ca cluster.Material, log *slog.Logger) cluster.TokenSource {
	if msk := o.MSK; msk.Region != "" {
		chain := awsauth.NewChain(awsauth.Config{Region: msk.Region, Profile: msk.Profile, Role: awsauth.Role(msk.Role), Logger: log})
		return awsauth.NewMSK(chain, msk.Region, "kafka-sidecar")
	}
	load := func(ref envconfig.SecretRef) func() (string, error) {
		return loader{ref}.Load
	}
	return oauth.New(oauth.Config{
		TokenURL: load(o.TokenURL), ClientID: load(o.ClientID), ClientSecret: load(o.ClientSecret), Scope: o.Scope,
		CA:     func() (*x509.CertPool, error) { return cluster.Roots(ca, "https.ca") },
		Logger: log,
	})
}
