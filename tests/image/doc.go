// Package image builds the image as its Dockerfile says and runs it as orchestrators should: without a shell, without rights, with a read-only root.
//
// It needs a Docker engine on this host: the one of DOCKER_HOST, or one of its own, which it starts where it is root and there is a dockerd, with a data folder
// of its own. Without either the tests skip; REQUIRE_DOCKER=1 makes that a failure.
//
// A base image that cannot be pulled is stood in for by one that is made here: a shell with this machine's Go, and the files that the runtime base has.
package image
