// Package release checks what a release is made of: its configuration is run as far as this machine can, without the tools that make the real one.
package release
