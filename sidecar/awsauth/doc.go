// Package awsauth signs requests for AWS: it finds credentials where AWS's own tools look for them, keeps them fresh, and makes the tokens of
// Amazon MSK's IAM authentication from them.
//
// The signature (Signature Version 4) is that of AWS's SDK. The search for credentials is written here, since the SDK's brings clients for
// four services along and would make the binary a fifth larger. It looks, as the SDK does, at
//
//  1. the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN;
//  2. a web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, as EKS sets them for a service account (IRSA);
//  3. the shared files ~/.aws/credentials and ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE) for AWS_PROFILE or default: keys,
//     role_arn with source_profile, credential_source or web_identity_token_file;
//  4. the container's agent: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, as ECS and EKS Pod Identity set them;
//  5. the instance's metadata service, IMDSv2 only, unless AWS_EC2_METADATA_DISABLED is true.
//
// A profile that is named in the configuration comes before all of them. The first place that is set up decides: what fails there is an
// error, and no other place is tried. Profiles that need a person or a program (SSO, MFA, credential_process) are refused by name.
//
// No error holds a key, a token, or the body of an answer.
package awsauth
