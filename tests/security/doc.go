// Package security connects the binary to Kafka in every way that is promised (SASL PLAIN, SCRAM, OAUTHBEARER, TLS, mutual TLS) and in the
// ways in which that usually fails, and looks for secrets in everything that it writes.
//
// One Apache Kafka has a listener for each way; authorities, certificates and an identity provider that signs real tokens are made by the tests.
package security
