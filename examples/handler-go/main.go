// Command handler-go is a handler without any framework: a counter for each key, called by the sidecar for the records of
// a topic and by everybody else by HTTP, on the same paths.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
)

// counter is the state of one key. In production it is a row, and the identities that it has seen are written in the same
// transaction as the total.
type counter struct {
	Total   int64   `json:"total"`
	Amounts []int64 `json:"amounts"`
	seen    map[string]bool
}

type counters struct {
	mu    sync.Mutex
	byKey map[string]*counter
}

func (c *counters) at(key string) *counter {
	if c.byKey[key] == nil {
		c.byKey[key] = &counter{Amounts: []int64{}, seen: map[string]bool{}}
	}
	return c.byKey[key]
}

// add counts each record once: a record may be delivered again, then with the same idempotency key.
func (c *counters) add(w http.ResponseWriter, r *http.Request) {
	var amount int64
	if err := json.NewDecoder(r.Body).Decode(&amount); err != nil {
		// 400 says that trying again will not help: the record fails, and ON_FAILURE says what becomes of it.
		http.Error(w, "the body is no whole number", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.at(r.PathValue("key"))
	if id := r.Header.Get("Idempotency-Key"); id == "" || !n.seen[id] {
		n.seen[id] = true
		n.Total += amount
		n.Amounts = append(n.Amounts, amount)
	}
	reply(w, n.Total)
}

func (c *counters) get(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply(w, c.at(r.PathValue("key")))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func main() {
	c := &counters{byKey: map[string]*counter{}}
	http.HandleFunc("POST /Counter/{key}/add", c.add)
	http.HandleFunc("POST /Counter/{key}/get", c.get)
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	if err := http.ListenAndServe("localhost:"+port, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
