package main

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// What became of the background work of all mounts in this process.
var stored, refused atomic.Int64

// storeForever stores a count until the process ends. It does not care whether its mount is still there.
func storeForever(_ context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	storage := req.Storage
	go func() {
		for count := 1; ; count++ {
			entry := &logical.StorageEntry{Key: "forever", Value: []byte(strconv.Itoa(count))}
			if err := storage.Put(context.Background(), entry); err != nil {
				refused.Add(1)
			} else {
				stored.Add(1)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return nil, nil
}

func background(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return answer(map[string]any{"stored": stored.Load(), "refused": refused.Load()}, nil)
}
