package envconfig

import (
	"errors"
	"fmt"
	"strings"
)

// urlFile is where a URL stands that a file holds.
type urlFile struct {
	file  string
	find  func(text string) (string, error) // the URL in the file's text
	check func(url string) error
}

// URLs in the files of SUBSCRIPTION_SINK, DEAD_LETTER_URL and SUBSCRIPTION.
func wholeFile(text string) (string, error) { return text, nil }

func sinkOfSubscription(text string) (string, error) {
	whole, err := parseSubscription(text)
	return whole.sink, err
}

// urlFrom says where the URL of a variable is read again, nil where it does not come from a file.
func (p *parser) urlFrom(variable string, find func(string) (string, error), check func(string) error) *urlFile {
	if file, ok := p.fromFile[variable]; ok {
		return &urlFile{file, find, check}
	}
	return nil
}

// load gives the URL as it is now. Only its query, which may hold a secret, can have changed: the rest is shown, and names the subscription.
func (f *urlFile) load(first Secret) (Secret, error) {
	if f == nil {
		return first, nil
	}
	text, err := readFile(f.file)
	if err == nil {
		text, err = f.find(text)
	}
	if err == nil {
		err = f.check(text)
	}
	before := first.Reveal()
	if err == nil && (withoutQuery(text) != withoutQuery(before) || keyedURL(text) != keyedURL(before)) {
		err = errors.New("it differs in more than the text of its query, which takes a restart")
	}
	if err != nil {
		return "", fmt.Errorf("load URL: %w", err)
	}
	return Secret(text), nil
}

// keyedURL says whether the record's key is part of the URL.
func keyedURL(text string) bool { return strings.Contains(text, "{key}") }

// LoadURL gives URL as it is now: where a file holds it, the file is read again, for a secret in the query that is rotated. Errors quote nothing.
func (s *Sink) LoadURL() (Secret, error) { return s.from.load(s.URL) }

// Reloads says whether LoadURL may give another URL later.
func (s *Sink) Reloads() bool { return s.from != nil }

// LoadURL gives URL as it is now, as Sink's does.
func (d *DeadLetter) LoadURL() (Secret, error) { return d.from.load(d.URL) }
