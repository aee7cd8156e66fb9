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

// Query asks the server's introspection tables and returns the rows.
func (s *Server) Query(sql string) []JSON {
	s.t.Helper()
	var answer struct{ Rows []JSON }
	s.admin(http.MethodPost, "/query", JSON{"query": sql}, &answer)
	return answer.Rows
}

// admin asks the Admin API and wants a 2xx.
func (s *Server) admin(method, path string, body, into any) {
	s.t.Helper()
	status, answer, err := s.Do(s.t, method, s.Admin+path, body)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
	}
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
