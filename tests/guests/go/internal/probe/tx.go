package probe

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"
)

// Transactional is storage with transactions, which OpenBao has and Vault has not.
type Transactional interface {
	Begin(ctx context.Context, readOnly bool) (Transaction, error)
}

// Transaction ends with its commit or its rollback.
type Transaction interface {
	logical.Storage
	Commit(context.Context) error
	Rollback(context.Context) error
}

// Pager is storage that lists page by page.
type Pager interface {
	ListPage(ctx context.Context, prefix, after string, limit int) ([]string, error)
}

// story tells one story of transactions. Results are shown as the plugin sees them.
func story(ctx context.Context, storage logical.Storage, which string) (*logical.Response, error) {
	transactional, ok := storage.(Transactional)
	if !ok {
		return nil, logical.ErrUnsupportedPath
	}
	s := &stage{ctx: ctx, outside: storage, transactional: transactional}
	var fields []any
	switch which {
	case "commit":
		fields = s.commit()
	case "abandon":
		fields = s.abandon()
	case "conflict":
		fields = s.conflict()
	case "retry":
		fields = s.retry()
	case "snapshot":
		fields = s.snapshot()
	default:
		return nil, logical.ErrUnsupportedPath
	}
	if s.failure != nil {
		return nil, s.failure
	}
	return answer(fields...)
}

// stage is where a story is told. What must not fail is done by its methods, which keep what did.
type stage struct {
	ctx           context.Context
	outside       logical.Storage
	transactional Transactional
	failure       error
}

// commit: what was written is seen inside at once, outside after the commit.
func (s *stage) commit() []any {
	tx := s.begin(false)
	if tx == nil {
		return nil
	}
	s.put(tx, "tx/a", "1")
	s.put(tx, "tx/b", "2")
	inside, outside := s.get(tx, "tx/a"), s.get(s.outside, "tx/a")
	listed, err := tx.List(s.ctx, "tx/")
	s.note(err)
	committed := shown(tx.Commit(s.ctx))
	after := []any{s.get(s.outside, "tx/a"), s.get(s.outside, "tx/b")}
	return []any{"inside", inside, "outside", outside, "listed", listed, "commit", committed, "after", after}
}

func (s *stage) abandon() []any {
	tx := s.begin(false)
	if tx == nil {
		return nil
	}
	s.put(tx, "tx/abandoned", "1")
	s.note(tx.Rollback(s.ctx))
	return []any{"after", s.get(s.outside, "tx/abandoned")}
}

// conflict: somebody changes what was read.
func (s *stage) conflict() []any {
	s.put(s.outside, "tx/contested", "1")
	tx := s.begin(false)
	if tx == nil {
		return nil
	}
	read := s.get(tx, "tx/contested")
	s.put(s.outside, "tx/contested", "2")
	s.put(tx, "tx/contested", "3")
	committed := shown(tx.Commit(s.ctx))
	return []any{"read", read, "commit", committed, "after", s.get(s.outside, "tx/contested")}
}

// retry: begins again until nobody was faster.
func (s *stage) retry() []any {
	s.put(s.outside, "tx/retried", "1")
	rounds, committed := 0, "conflict"
	for committed == "conflict" && s.failure == nil {
		rounds++
		tx := s.begin(false)
		if tx == nil {
			return nil
		}
		read, _ := s.get(tx, "tx/retried").(string)
		if rounds == 1 {
			s.put(s.outside, "tx/retried", "2")
		}
		s.put(tx, "tx/retried", read+"+")
		committed = shown(tx.Commit(s.ctx))
	}
	return []any{"rounds", rounds, "after", s.get(s.outside, "tx/retried")}
}

// snapshot: reads from one moment, and writes nothing.
func (s *stage) snapshot() []any {
	s.put(s.outside, "tx/moment", "1")
	tx := s.begin(true)
	if tx == nil {
		return nil
	}
	s.put(s.outside, "tx/moment", "2")
	read := s.get(tx, "tx/moment")
	put := shown(tx.Put(s.ctx, &logical.StorageEntry{Key: "tx/moment", Value: []byte("3")}))
	deleted := shown(tx.Delete(s.ctx, "tx/moment"))
	committed := shown(tx.Commit(s.ctx))
	after := s.get(s.outside, "tx/moment")
	return []any{"read", read, "put", put, "delete", deleted, "commit", committed, "after", after}
}

// begin returns nil when it fails, which ends the story.
func (s *stage) begin(readOnly bool) Transaction {
	tx, err := s.transactional.Begin(s.ctx, readOnly)
	s.note(err)
	return tx
}

func (s *stage) put(storage logical.Storage, key, value string) {
	s.note(storage.Put(s.ctx, &logical.StorageEntry{Key: key, Value: []byte(value)}))
}

// get returns a text, or nil where nothing is.
func (s *stage) get(storage logical.Storage, key string) any {
	entry, err := storage.Get(s.ctx, key)
	s.note(err)
	if entry == nil {
		return nil
	}
	return string(entry.Value)
}

func (s *stage) note(err error) {
	s.failure = errors.Join(s.failure, err)
}

// shown puts a result in the table's words. An error of storage crosses to the plugin as a text alone.
func shown(err error) string {
	switch {
	case err == nil:
		return "done"
	case strings.Contains(err.Error(), "read-only"):
		return "read-only"
	case strings.Contains(err.Error(), "commit failed"), strings.Contains(err.Error(), "conflict"):
		return "conflict"
	}
	return err.Error()
}
