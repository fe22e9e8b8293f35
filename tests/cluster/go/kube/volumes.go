package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	provisionerName  = "broker-operator.dev/host-path"
	askedProvisioner = "volume.kubernetes.io/storage-provisioner" // on a claim: who is to serve it
	usedProvisioner  = "pv.kubernetes.io/provisioned-by"          // on a volume: who made it
	workers          = 2
)

// volumes serves claims with folders of the machine. Kubernetes has a provisioner of that kind, but
// its folders can be written by root only, and it never grows a volume.
type volumes struct {
	folder  string
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	queue   workqueue.TypedRateLimitingInterface[string]
}

func newVolumesCommand() *cobra.Command {
	var kubeconfig, folder string
	command := &cobra.Command{
		Use:   "volumes",
		Short: "Provision, grow and delete persistent volumes of the class " + provisionerName,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			return serveVolumes(command.Context(), client, folder)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&folder, "folder", "", "where the volumes' folders are made")
	return command
}

// serveVolumes works until ctx ends. The queue holds keys: "namespace/name" of a claim, or the name
// of a volume, which has no slash.
func serveVolumes(ctx context.Context, client kubernetes.Interface, folder string) error {
	if ctx == nil {
		ctx = context.Background()
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	v := &volumes{
		folder:  folder,
		client:  client,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 10*time.Second)),
	}
	enqueue := func(object any) {
		if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
			v.queue.Add(key)
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, object any) { enqueue(object) },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("cannot list %v", kind)
		}
	}
	for range workers {
		go v.work(ctx)
	}
	<-ctx.Done()
	v.queue.ShutDown()
	return nil
}

func (v *volumes) work(ctx context.Context) {
	for {
		key, shutdown := v.queue.Get()
		if shutdown {
			return
		}
		if err := v.serve(ctx, key); err != nil {
			klog.ErrorS(err, "Trying again", "key", key)
			v.queue.AddRateLimited(key)
		} else {
			v.queue.Forget(key)
		}
		v.queue.Done(key)
	}
}

// serve decides from the present state alone, so it may be called at any time and any number of times.
func (v *volumes) serve(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	if namespace == "" {
		volume, err := v.volumes.Get(name)
		if err != nil {
			return ignoreNotFound(err)
		}
		return v.serveVolume(ctx, volume)
	}
	claim, err := v.claims.PersistentVolumeClaims(namespace).Get(name)
	if err != nil {
		return ignoreNotFound(err)
	}
	return v.serveClaim(ctx, claim)
}

func (v *volumes) serveClaim(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	switch {
	case claim.Annotations[askedProvisioner] != provisionerName || claim.DeletionTimestamp != nil:
		return nil
	case claim.Spec.VolumeName == "":
		return v.provision(ctx, claim)
	case claim.Status.Phase == core.ClaimBound:
		return v.grow(ctx, claim)
	}
	return nil
}

// provision makes a folder that any user may write to, and a volume for it that is bound to claim.
func (v *volumes) provision(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	class, err := v.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return err
	}
	name := "pvc-" + string(claim.UID)
	folder := filepath.Join(v.folder, name)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(folder, 0o777); err != nil { // the umask does not count
		return err
	}
	klog.InfoS("Providing a volume", "claim", klog.KObj(claim), "folder", folder)
	_, err = v.client.CoreV1().PersistentVolumes().Create(ctx, &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{usedProvisioner: provisionerName},
		},
		Spec: core.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: *claim.Spec.Resources.Requests.Storage()},
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			VolumeMode:                    claim.Spec.VolumeMode,
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: folder},
			},
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1",
				Kind:       "PersistentVolumeClaim",
				Namespace:  claim.Namespace,
				Name:       claim.Name,
				UID:        claim.UID,
			},
		},
	}, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// grow gives claim what it asks for: first its volume, then the claim's own report. A folder has no
// size that would have to change.
func (v *volumes) grow(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	asked, has := claim.Spec.Resources.Requests.Storage(), claim.Status.Capacity.Storage()
	if asked.Cmp(*has) <= 0 {
		return nil
	}
	klog.InfoS("Growing a volume", "claim", klog.KObj(claim), "from", has, "to", asked)
	volume, err := v.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return err
	}
	volume = volume.DeepCopy()
	volume.Spec.Capacity[core.ResourceStorage] = *asked
	if _, err := v.client.CoreV1().PersistentVolumes().Update(ctx, volume, meta.UpdateOptions{}); err != nil {
		return err
	}
	claim = claim.DeepCopy()
	claim.Status.Capacity[core.ResourceStorage] = *asked
	claim.Status.Conditions = nil // "Resizing" is over
	_, err = v.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, meta.UpdateOptions{})
	return err
}

// serveVolume deletes a volume, and what it holds, once its claim is gone.
func (v *volumes) serveVolume(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Annotations[usedProvisioner] != provisionerName ||
		volume.Status.Phase != core.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete {
		return nil
	}
	klog.InfoS("Deleting a volume", "volume", volume.Name)
	if err := os.RemoveAll(filepath.Join(v.folder, volume.Name)); err != nil {
		return err
	}
	return ignoreNotFound(v.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{}))
}

func ignoreNotFound(err error) error {
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
