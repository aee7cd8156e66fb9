package awsauth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// sessionName tells in AWS's logs whose session it is.
const sessionName = "kafka-sidecar"

// webIdentity changes the token in a file, which is read anew each time because it is short-lived, for the credentials of a role.
func (c *Chain) webIdentity(ctx context.Context, file string, role Role, region string) (aws.Credentials, error) {
	token, err := os.ReadFile(file)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("read the web identity token (AWS_WEB_IDENTITY_TOKEN_FILE): %w", err)
	}
	return c.call(ctx, aws.Credentials{}, region, role.ARN, url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "RoleArn": {role.ARN}, "RoleSessionName": {cmp.Or(role.SessionName, sessionName)},
		"WebIdentityToken": {strings.TrimSpace(string(token))},
	})
}

// assume changes credentials for those of a role.
func (c *Chain) assume(ctx context.Context, base aws.Credentials, role Role, region string) (aws.Credentials, error) {
	form := url.Values{"Action": {"AssumeRole"}, "RoleArn": {role.ARN}, "RoleSessionName": {cmp.Or(role.SessionName, sessionName)}}
	if role.ExternalID != "" {
		form.Set("ExternalId", role.ExternalID)
	}
	return c.call(ctx, base, region, role.ARN, form)
}

// call asks the security token service (its query protocol, version 2011-06-15). Without credentials the request is not signed.
func (c *Chain) call(ctx context.Context, signer aws.Credentials, region, arn string, form url.Values) (aws.Credentials, error) {
	form.Set("Version", "2011-06-15")
	body := form.Encode()
	address := cmp.Or(c.cfg.Getenv("AWS_ENDPOINT_URL_STS"), c.cfg.Getenv("AWS_ENDPOINT_URL"), "https://sts."+region+"."+domain(region))
	fail := func(err error) (aws.Credentials, error) {
		return aws.Credentials{}, fmt.Errorf("assume the role %s: %w", arn, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(address, "/")+"/", strings.NewReader(body))
	if err != nil {
		return fail(errors.New("AWS_ENDPOINT_URL_STS is no URL"))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if signer.HasKeys() {
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(ctx, signer, req, hex.EncodeToString(sum[:]), "sts", region, time.Now()); err != nil {
			return fail(fmt.Errorf("sign the request: %w", err))
		}
	}
	text, err := answer(c.sts, req)
	if err != nil {
		return fail(refusal(err, text))
	}
	var said struct {
		Plain credentialsXML `xml:"AssumeRoleResult>Credentials"`
		Web   credentialsXML `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	err = xml.Unmarshal(text, &said)
	got := said.Plain
	if got.AccessKeyID == "" {
		got = said.Web
	}
	creds := aws.Credentials{
		AccessKeyID: got.AccessKeyID, SecretAccessKey: got.SecretAccessKey, SessionToken: got.SessionToken,
		CanExpire: true, Expires: got.Expiration, Source: "role",
	}
	if err != nil || !creds.HasKeys() || got.Expiration.IsZero() {
		return fail(errors.New("the answer holds no credentials"))
	}
	return creds, nil
}

type credentialsXML struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

var errorCode = regexp.MustCompile(`^[A-Za-z.]{1,60}$`)

// refusal adds the code of an error answer. Its message stays out: that of a bad signature holds the request's headers.
func refusal(err error, body []byte) error {
	var said struct {
		Code string `xml:"Error>Code"`
	}
	if xml.Unmarshal(body, &said) == nil && errorCode.MatchString(said.Code) {
		return fmt.Errorf("%w (%s)", err, said.Code)
	}
	return err
}

// domain is the DNS suffix of a region's partition.
func domain(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "amazonaws.com.cn"
	case strings.HasPrefix(region, "eusc-"):
		return "amazonaws.eu"
	case strings.HasPrefix(region, "us-iso-"):
		return "c2s.ic.gov"
	case strings.HasPrefix(region, "us-isob-"):
		return "sc2s.sgov.gov"
	}
	return "amazonaws.com"
}
