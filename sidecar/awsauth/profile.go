package awsauth

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// errNoProfile says that the shared files do not have the profile.
var errNoProfile = errors.New("not found in the shared credentials and config files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE)")

// staticLife is how long keys of a file are used before it is read again, so that a rotated key needs no restart.
const staticLife = 5 * time.Minute

// unsupported are settings of a profile that want a person or a program.
var unsupported = []string{"sso_session", "sso_account_id", "sso_start_url", "credential_process", "mfa_serial", "login_session"}

// profile gives the credentials of a profile; the empty name is default.
func (c *Chain) profile(ctx context.Context, name string) (aws.Credentials, error) {
	profiles, err := c.profiles()
	if err != nil {
		return aws.Credentials{}, err
	}
	return c.resolve(ctx, profiles, cmp.Or(name, "default"), nil)
}

// resolve follows source_profile; path is the way that led here.
func (c *Chain) resolve(ctx context.Context, profiles map[string]map[string]string, name string, path []string) (aws.Credentials, error) {
	p, ok := profiles[name]
	fail := func(format string, args ...any) (aws.Credentials, error) {
		return aws.Credentials{}, fmt.Errorf("AWS profile %q: %w", name, fmt.Errorf(format, args...))
	}
	if !ok {
		return fail("%w", errNoProfile)
	}
	for _, setting := range unsupported {
		if p[setting] != "" {
			return fail("%s is not supported; use a role (role_arn with source_profile, credential_source or web_identity_token_file) or keys", setting)
		}
	}
	keys := aws.Credentials{AccessKeyID: p["aws_access_key_id"], SecretAccessKey: p["aws_secret_access_key"], SessionToken: p["aws_session_token"]}
	keys.CanExpire, keys.Expires = true, time.Now().Add(staticLife)
	role := Role{ARN: p["role_arn"], SessionName: p["role_session_name"], ExternalID: p["external_id"]}
	// A profile that names itself as its source means its own keys.
	if role.ARN == "" || slices.Contains(path, name) {
		switch {
		case keys.HasKeys():
			return keys, nil
		case len(path) > 0 && role.ARN != "":
			return fail("source_profile leads back to it, and it has no keys")
		case len(path) == 0 && name == "default":
			return fail("%w", errNoProfile) // it may be there for the region only
		}
		return fail("it has neither keys nor a role_arn")
	}
	region := c.region(p["region"])
	if file := p["web_identity_token_file"]; file != "" {
		return c.webIdentity(ctx, file, role, region)
	}
	var base aws.Credentials
	var err error
	switch source, own := p["source_profile"], p["credential_source"]; {
	case source != "" && own != "":
		return fail("source_profile and credential_source exclude each other")
	case source != "":
		base, err = c.resolve(ctx, profiles, source, append(path, name))
	case own == "Environment":
		var there bool
		if base, there = c.environment(); !there {
			return fail("credential_source is Environment, but AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
		}
	case own == "Ec2InstanceMetadata":
		base, err = c.instance(ctx)
	case own == "EcsContainer":
		base, err = c.container(ctx)
	default:
		return fail("role_arn needs source_profile, credential_source (Environment, Ec2InstanceMetadata, EcsContainer) or web_identity_token_file")
	}
	if err != nil {
		return aws.Credentials{}, err
	}
	return c.assume(ctx, base, role, region)
}

// profiles reads the shared files; of a setting that is in both, that of the credentials file counts. A file that is not there is empty.
func (c *Chain) profiles() (map[string]map[string]string, error) {
	folder := ""
	if home := c.cfg.Getenv("HOME"); home != "" {
		folder = filepath.Join(home, ".aws")
	}
	profiles := map[string]map[string]string{}
	for _, f := range []struct {
		variable, name string
		config         bool
	}{{"AWS_CONFIG_FILE", "config", true}, {"AWS_SHARED_CREDENTIALS_FILE", "credentials", false}} {
		path := c.cfg.Getenv(f.variable)
		if path == "" && folder != "" {
			path = filepath.Join(folder, f.name)
		}
		if path == "" {
			continue
		}
		if err := readProfiles(path, f.config, profiles); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read the shared AWS %s file: %w", f.name, err)
		}
	}
	return profiles, nil
}

// readProfiles adds the profiles of an INI file. The config file calls them "profile x", except for default. Indented lines belong to
// settings of single services, which mean nothing here.
func readProfiles(path string, config bool, profiles map[string]map[string]string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var section map[string]string
	for lines := bufio.NewScanner(file); ; {
		if !lines.Scan() {
			return lines.Err()
		}
		line := strings.TrimRight(lines.Text(), " \t\r")
		if line == "" || strings.ContainsRune("#; \t", rune(line[0])) {
			continue
		}
		if header, ok := strings.CutPrefix(line, "["); ok {
			name, _, _ := strings.Cut(header, "]")
			name = strings.Join(strings.Fields(name), " ")
			if config && name != "default" {
				var is bool
				if name, is = strings.CutPrefix(name, "profile "); !is {
					section = nil // sso-session, services
					continue
				}
			}
			if profiles[name] == nil {
				profiles[name] = map[string]string{}
			}
			section = profiles[name]
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok && section != nil {
			value, _, _ = strings.Cut(value, " #")
			section[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
		}
	}
}
