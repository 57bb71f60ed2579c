//! ImageService: straight to the image store.

use std::pin::Pin;

use cri::v1::image_service_server::ImageService;
use cri::v1::{self};
use futures::Stream;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::node::Node;

pub(crate) struct ImageServer(pub Node);

type Lists<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn image(spec: Option<&v1::ImageSpec>) -> Result<&str, Status> {
    spec.map(|spec| spec.image.as_str())
        .filter(|image| !image.is_empty())
        .ok_or_else(|| Status::invalid_argument("image is not given"))
}

impl ImageServer {
    async fn list(&self, filter: Option<&v1::ImageFilter>) -> Result<Vec<v1::Image>, Status> {
        let wanted =
            filter.and_then(|f| f.image.as_ref()).map(|i| i.image.as_str()).filter(|i| !i.is_empty());
        Ok(self.0.config.images.list(wanted).await.map_err(Error::from)?)
    }
}

#[tonic::async_trait]
impl ImageService for ImageServer {
    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let images = self.list(request.get_ref().filter.as_ref()).await?;
        Ok(Response::new(v1::ListImagesResponse { images }))
    }

    type StreamImagesStream = Lists<v1::StreamImagesResponse>;

    async fn stream_images(
        &self,
        request: Request<v1::StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        let images = self.list(request.get_ref().filter.as_ref()).await?;
        let answer = (!images.is_empty()).then_some(Ok(v1::StreamImagesResponse { images }));
        Ok(Response::new(Box::pin(futures::stream::iter(answer))))
    }

    async fn image_status(
        &self,
        request: Request<v1::ImageStatusRequest>,
    ) -> Result<Response<v1::ImageStatusResponse>, Status> {
        let image = image(request.get_ref().image.as_ref())?;
        let image = self.0.config.images.status(image).await.map_err(Error::from)?;
        Ok(Response::new(v1::ImageStatusResponse { image, info: Default::default() }))
    }

    async fn pull_image(
        &self,
        request: Request<v1::PullImageRequest>,
    ) -> Result<Response<v1::PullImageResponse>, Status> {
        let request = request.into_inner();
        image(request.image.as_ref())?;
        let spec = request.image.unwrap_or_default();
        let image_ref = self.0.config.images.pull(&spec, request.auth.as_ref()).await.map_err(Error::from)?;
        Ok(Response::new(v1::PullImageResponse { image_ref }))
    }

    async fn remove_image(
        &self,
        request: Request<v1::RemoveImageRequest>,
    ) -> Result<Response<v1::RemoveImageResponse>, Status> {
        let image = image(request.get_ref().image.as_ref())?;
        self.0.config.images.remove(image).await.map_err(Error::from)?;
        Ok(Response::new(v1::RemoveImageResponse {}))
    }

    async fn image_fs_info(
        &self,
        _: Request<v1::ImageFsInfoRequest>,
    ) -> Result<Response<v1::ImageFsInfoResponse>, Status> {
        Ok(Response::new(self.0.config.images.fs_info().await.map_err(Error::from)?))
    }
}
