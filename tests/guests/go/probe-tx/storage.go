package main

import (
	"context"
	"errors"
	"reflect"

	"cofferdam/guests/internal/probe"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// storage is the host's storage, with what OpenBao's has beyond Vault's.
type storage struct {
	logical.Storage
	conn grpc.ClientConnInterface
}

// connection returns what Vault's SDK keeps to itself: the connection to the host's storage.
func connection(storage logical.Storage) grpc.ClientConnInterface {
	client := reflect.ValueOf(storage).Elem().FieldByName("client").Elem()
	return *(*grpc.ClientConnInterface)(client.Elem().FieldByName("cc").Addr().UnsafePointer())
}

// isTransactional asks the host. One that does not know the question has no transactions.
func (s *storage) isTransactional(ctx context.Context) (bool, error) {
	reply := new(pb.TaintedReply) // Has the fields of StorageIsTransactionalReply.
	err := s.conn.Invoke(ctx, "/pb.Storage/IsTransactional", new(pb.Empty), reply)
	if status.Code(err) == codes.Unimplemented {
		return false, nil
	}
	return reply.Tainted, err
}

func (s *storage) Begin(ctx context.Context, readOnly bool) (probe.Transaction, error) {
	method := "/pb.Storage/BeginTx"
	if readOnly {
		method = "/pb.Storage/BeginReadOnlyTx"
	}
	reply := new(pb.GeneratePasswordFromPolicyReply) // Has the first field of StorageBeginTxReply.
	if err := s.conn.Invoke(ctx, method, new(pb.Empty), reply); err != nil {
		return nil, err
	}
	if reply.Password == "" {
		return nil, errors.New("the host began no transaction")
	}
	return &transaction{conn: s.conn, id: reply.Password}, nil
}

func (s *storage) ListPage(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	args := &pb.StorageListArgs{Prefix: prefix}
	var more []byte
	more = protowire.AppendString(protowire.AppendTag(more, 2, protowire.BytesType), after)
	more = protowire.AppendVarint(protowire.AppendTag(more, 3, protowire.VarintType), uint64(limit))
	args.ProtoReflect().SetUnknown(more)
	reply := new(pb.StorageListReply)
	err := s.conn.Invoke(ctx, "/pb.Storage/ListPage", args, reply)
	return reply.Keys, either(err, reply.Err)
}

// transaction is storage whose every message names the transaction.
type transaction struct {
	conn grpc.ClientConnInterface
	id   string
}

func (t *transaction) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	reply := new(pb.StorageGetReply)
	err := t.call(ctx, "Get", &pb.StorageGetArgs{Key: key}, reply)
	return pb.ProtoStorageEntryToLogicalStorageEntry(reply.Entry), either(err, reply.Err)
}

func (t *transaction) Put(ctx context.Context, entry *logical.StorageEntry) error {
	reply := new(pb.StoragePutReply)
	err := t.call(ctx, "Put", &pb.StoragePutArgs{Entry: pb.LogicalStorageEntryToProtoStorageEntry(entry)}, reply)
	return either(err, reply.Err)
}

func (t *transaction) Delete(ctx context.Context, key string) error {
	reply := new(pb.StorageDeleteReply)
	err := t.call(ctx, "Delete", &pb.StorageDeleteArgs{Key: key}, reply)
	return either(err, reply.Err)
}

func (t *transaction) List(ctx context.Context, prefix string) ([]string, error) {
	reply := new(pb.StorageListReply)
	err := t.call(ctx, "List", &pb.StorageListArgs{Prefix: prefix}, reply)
	return reply.Keys, either(err, reply.Err)
}

func (t *transaction) Commit(ctx context.Context) error {
	return t.end(ctx, "Commit")
}

func (t *transaction) Rollback(ctx context.Context) error {
	return t.end(ctx, "Rollback")
}

// end sends the id as the first field, as StorageGetArgs has its key.
func (t *transaction) end(ctx context.Context, method string) error {
	reply := new(pb.SetupReply) // Has the fields of StorageCommitTxReply.
	err := t.conn.Invoke(ctx, "/pb.Storage/"+method, &pb.StorageGetArgs{Key: t.id}, reply)
	return either(err, reply.Err)
}

// call sends a message with the transaction's id as its second field.
func (t *transaction) call(ctx context.Context, method string, args, reply proto.Message) error {
	args.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), t.id))
	return t.conn.Invoke(ctx, "/pb.Storage/"+method, args, reply)
}

// either returns the failure of a call, or what its reply says of one.
func either(err error, said string) error {
	if err == nil && said != "" {
		return errors.New(said)
	}
	return err
}
