package awsauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"

	"github.com/kafka-sidecar/kafka-sidecar/sidecar/renew"
)

// errNone ends a search that found nothing set up anywhere.
var errNone = errors.New("none are set up: give the task, pod or instance a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")

// roleError is what went wrong on the way to a role.
type roleError struct {
	arn string
	err error
}

func (e *roleError) Error() string { return "assume the role " + e.arn + ": " + e.err.Error() }
func (e *roleError) Unwrap() error { return e.err }

func ofRole(err error, arn *string) error {
	if err == nil {
		return nil
	}
	return &roleError{aws.ToString(arn), err}
}

// AnswerError is an answer of AWS that is no success.
type AnswerError struct {
	Status int
	Code   string // of the error, empty when the answer has none
}

// Error tells the code and not AWS's own words: those of a bad signature hold the request's headers.
func (e *AnswerError) Error() string {
	text := fmt.Sprintf("answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	return text
}

// Heals says whether the same request may succeed later without anybody changing anything.
func (e *AnswerError) Heals() bool { return renew.Heals(e.Status) }

// explain says in a line what the SDK says in many, without what an answer or a file held.
func explain(err error) error {
	var (
		profile config.SharedConfigProfileNotExistError
		role    *roleError
		call    *smithy.OperationError
		answer  *AnswerError
	)
	cause := root(err)
	instance := errors.As(err, &call) && call.ServiceID == "ec2imds"
	switch {
	case errors.As(err, &profile):
		return fmt.Errorf("AWS profile %q: not found in the shared credentials and config files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE)", profile.Profile)
	case errors.As(err, new(config.AssumeRoleTokenProviderNotSetError)):
		return errors.New("the AWS profile asks for MFA, which needs a person; use a role without it")
	case instance && errors.As(cause, &answer):
		return fmt.Errorf("ask the instance for its role (has it an instance profile?): %w", cause)
	case instance:
		return fmt.Errorf("%w (no instance metadata either: %w)", errNone, cause)
	case errors.As(err, &role):
		return &roleError{role.arn, cause}
	case errors.As(cause, &answer):
		return fmt.Errorf("ask for credentials: %w", cause)
	}
	return fmt.Errorf("%w (hint: check the AWS_* variables and the profile in AWS's shared files)", cause)
}

var errorCode = regexp.MustCompile(`^[A-Za-z.]{1,60}$`)

// root is what an error comes down to: an answer, an error of the network, or the innermost error.
func root(err error) error {
	var (
		status interface{ HTTPStatusCode() int }
		api    smithy.APIError
		op     *net.OpError
		name   *net.DNSError
		empty  *credentials.StaticCredentialsEmptyError
	)
	switch {
	case errors.As(err, &status) && status.HTTPStatusCode() > 0:
		answer := &AnswerError{Status: status.HTTPStatusCode()}
		if errors.As(err, &api) && errorCode.MatchString(api.ErrorCode()) {
			answer.Code = api.ErrorCode()
		}
		return answer
	case errors.As(err, &name):
		return name
	case errors.As(err, &op):
		return op
	case errors.As(err, &empty):
		return errors.New("credential_source is Environment, but AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s: %w", findTimeout, context.DeadlineExceeded)
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}
