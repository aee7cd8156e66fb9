package restateserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// JSON is any value that can be written as JSON.
type JSON = map[string]any

// Register makes a deployment of services known, which answers at a URL.
func (s *Server) Register(url string) {
	s.t.Helper()
	s.admin(http.MethodPost, "/deployments", JSON{"uri": url}, nil)
}

// CreateCluster makes a Kafka cluster known through the Admin API.
func (s *Server) CreateCluster(name string, properties map[string]string) {
	s.t.Helper()
	s.admin(http.MethodPost, "/kafka-clusters", JSON{"name": name, "properties": properties}, nil)
}

// Subscribe makes a subscription of the server's own Kafka consumer and returns its id.
func (s *Server) Subscribe(source, sink string, options map[string]string) string {
	s.t.Helper()
	var answer struct{ ID string }
	s.admin(http.MethodPost, "/subscriptions", JSON{"source": source, "sink": sink, "options": options}, &answer)
	return answer.ID
}

// Unsubscribe deletes a subscription. Its consumer goes some time after.
func (s *Server) Unsubscribe(id string) {
	s.t.Helper()
	s.admin(http.MethodDelete, "/subscriptions/"+id, nil, nil)
}

// Query asks the server's introspection tables and returns the rows. After a start partitions change their place once more at times, and who asks for
// one of them in that moment is answered 500: it is asked again then.
func (s *Server) Query(sql string) []JSON {
	s.t.Helper()
	var answer struct{ Rows []JSON }
	s.eventually(func() error { return s.ask(http.MethodPost, "/query", JSON{"query": sql}, &answer) })
	return answer.Rows
}

// admin asks the Admin API and wants a 2xx.
func (s *Server) admin(method, path string, body, into any) {
	s.t.Helper()
	if err := s.ask(method, path, body, into); err != nil {
		s.t.Fatal(err)
	}
}

// ask asks the Admin API; an error is also any answer but a 2xx.
func (s *Server) ask(method, path string, body, into any) error {
	s.t.Helper()
	status, answer, err := s.Do(s.t, method, s.Admin+path, body)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", method, path, err, answer)
	}
	return nil
}

// Do makes one request with a JSON body, or with none for nil. An answer that says that it cannot be had is an error.
func (s *Server) Do(t testing.TB, method, url string, body any) (status int, answer []byte, err error) {
	t.Helper()
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	req.Header.Set("accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}
