// Package awsauth has what AWS asks for to know who we are: credentials, found where AWS's own tools look for them and kept fresh, and the
// tokens of Amazon MSK's IAM authentication that are made from them.
//
// The search is that of AWS's SDK: the environment, a web identity (EKS service accounts), the shared files, the container's agent (ECS, EKS
// Pod Identity), the instance. A profile that is named in the configuration comes before all of them. The first place that is set up decides:
// what fails there is an error, and no other place is tried.
//
// Added here are the renewal beside the work (package renew), and errors that say in a line what to change (errors.go). No error holds a
// key, a token, or the body of an answer.
package awsauth
