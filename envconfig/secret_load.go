package envconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// place says where in a file of many options a secret stands, so that it can be read again.
type place struct {
	file   string
	form   func(text string) ([]pair, error) // options of the file; what it does not understand it leaves out
	option *option
}

// Load gives the secret as it is now: a file is read again at each call. The zero SecretRef gives "". Errors name neither the file nor
// anything in it.
func (s SecretRef) Load() (Secret, error) {
	text, err := load(s.Value, s.File, s.within)
	if err != nil {
		return "", fmt.Errorf("load secret: %w", err)
	}
	return Secret(text), nil
}

// Reloads says whether Load may give another value later, since the secret comes from a file.
func (s SecretRef) Reloads() bool { return s.File != "" || s.within != nil }

// Load gives the PEM text as it is now: a file is read again at each call. A File that is a folder gives an error; who takes folders
// (authorities of a cluster) reads them itself.
func (p PEM) Load() (Secret, error) { return SecretRef(p).Load() }

// IsZero says that no PEM was given.
func (p PEM) IsZero() bool { return p == PEM{} }

// IsZero says that no secret was given.
func (s SecretRef) IsZero() bool { return s == SecretRef{} }

func load(value Secret, file string, within *place) (string, error) {
	switch {
	case within != nil:
		text, err := readFile(within.file)
		if err != nil {
			return "", err
		}
		pairs, err := within.form(text)
		if err != nil {
			return "", err
		}
		for _, p := range pairs {
			if lookupOption(p.name) == within.option {
				return p.value, nil
			}
		}
		return "", fmt.Errorf("option %s is no longer in its file", within.option.Name)
	case file != "":
		return readFile(file)
	default:
		return value.Reveal(), nil
	}
}

// maxFile bounds a configuration file: a variable that names a device or a log must not fill the memory.
const maxFile = 1 << 20

// readFile gives the file's text without one trailing newline. The error never holds the path: a secret that was put into the _FILE
// variable by mistake would be shown.
func readFile(path string) (string, error) {
	data, err := readBytes(path)
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), err
}

func readBytes(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(data) > maxFile {
		return nil, errors.New("larger than 1 MiB")
	}
	return data, nil
}

// bare takes the path out of an error of package os.
func bare(err error) error {
	if pathErr := (*os.PathError)(nil); errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
